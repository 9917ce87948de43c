import assert from "node:assert/strict";
import { trace } from "npm:@opentelemetry/api@1.9.1";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "npm:@opentelemetry/sdk-trace-base@2.12.1";
import { type Client, ConflictError, hexId, type Tid } from "../../client/mod.ts";
import { openTelemetry } from "../../node/open_telemetry.ts";
import { until } from "../network/support.ts";
import { RealCluster } from "./real_cluster.ts";

const data = new TextEncoder().encode("data");

/** OpenTelemetry that keeps spans in memory, for as long as the test takes. */
class Spans implements Disposable {
  readonly #exporter = new InMemorySpanExporter();

  constructor() {
    const spanProcessors = [new SimpleSpanProcessor(this.#exporter)];
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  }

  get list(): ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  /** The spans of a transaction. */
  of(ttid: Tid): ReadableSpan[] {
    return this.list.filter(({ attributes }) => attributes["neo.ttid"] === hexId(ttid));
  }

  [Symbol.dispose](): void {
    trace.disable();
  }
}

/** Each span in a line: node, name, what follows tells where it is not as the others. */
function lines(spans: readonly ReadableSpan[]): string[] {
  const names = new Map(spans.map((span) => [span.spanContext().spanId, span.name]));
  return spans.map(({ name, attributes, parentSpanContext, status }) => {
    const parent = names.get(parentSpanContext?.spanId ?? "");
    const { "neo.storage": storage, "neo.oids": oids } = attributes;
    return [
      attributes["neo.node"],
      ...parent === undefined ? [] : [parent, ">"],
      name,
      ...storage === undefined ? [] : [storage],
      ...oids === undefined ? [] : [`${oids} oids`],
      ...status.message === undefined ? [] : [`(${status.message})`],
    ].join(" ");
  }).sort();
}

async function store(client: Client, count: number) {
  const transaction = await client.begin();
  for (let i = 0; i < count; i++) await transaction.store(await client.newOid(), null, data);
  return transaction;
}

Deno.test("openTelemetry() shows a commit across the client, the master and the storages", async () => {
  using spans = new Spans();
  await using cluster = await RealCluster.start({ tracer: openTelemetry("test") });
  const client = await cluster.connect();
  const transaction = await store(client, 3);
  const tid = await transaction.commit();
  const { ttid } = transaction;
  await until(() => spans.of(ttid).length === 15, "all spans");
  const found = spans.of(ttid);
  assert.deepEqual(lines(found), [
    "C1 transaction 3 oids",
    "C1 transaction > finish",
    "C1 transaction > store",
    "C1 transaction > vote",
    "M1 finish 3 oids",
    "M1 finish > lock S1",
    "M1 finish > lock S2",
    "S1 lock",
    "S1 store 3 oids",
    "S1 unlock",
    "S1 vote 3 oids",
    "S2 lock",
    "S2 store 3 oids",
    "S2 unlock",
    "S2 vote 3 oids",
  ]);
  assert.equal(new Set(found.map((span) => span.spanContext().traceId)).size, 1, "one trace");
  const known = new Set(found.map((span) => span.spanContext().spanId));
  const roots = new Set(found.map(({ parentSpanContext }) => parentSpanContext?.spanId ?? ""));
  assert.equal([...roots].filter((id) => !known.has(id)).length, 1, "one parent for all nodes");
  const withTid = found.filter(({ attributes }) => "neo.tid" in attributes);
  assert.deepEqual([...new Set(withTid.map(({ name }) => name))].sort(), [
    "finish",
    "lock",
    "transaction",
    "unlock",
  ]);
  for (const { attributes } of withTid) assert.equal(attributes["neo.tid"], hexId(tid));
});

Deno.test("openTelemetry() gives each transaction a trace of its own, the same in each program", async () => {
  using spans = new Spans();
  const traceOf = (cluster: string, ttid: number) => {
    openTelemetry(cluster).begin({ name: "x", ttid: BigInt(ttid) as Tid, node: null }).end();
    return spans.list.at(-1)?.spanContext().traceId;
  };
  assert.equal(traceOf("a", 1), traceOf("a", 1));
  assert.notEqual(traceOf("a", 1), traceOf("a", 2));
  assert.notEqual(traceOf("a", 1), traceOf("b", 1));
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode("a\0" + "0000000000000001"),
  );
  assert.equal(traceOf("a", 1), new Uint8Array(digest).slice(0, 16).toHex());
});

Deno.test("openTelemetry() shows transactions that fail", async () => {
  using spans = new Spans();
  await using cluster = await RealCluster.start({ tracer: openTelemetry("test"), storages: 1 });
  const client = await cluster.connect();
  const oid = await client.newOid();
  const first = await client.begin();
  await first.store(oid, null, data);
  await first.commit();
  const second = await client.begin();
  await second.store(oid, null, data);
  await assert.rejects(second.commit(), ConflictError);
  const text = (span: ReadableSpan | undefined) => span?.status.message ?? "";
  await until(() => spans.of(second.ttid).length >= 4, "all spans");
  const of = (name: string, node: string) =>
    spans.of(second.ttid).find((span) =>
      span.name === name && span.attributes["neo.node"] === node
    );
  assert.match(text(of("vote", "C1")), /was changed by transaction/);
  assert.equal(text(of("transaction", "C1")), "aborted");
  assert.equal(text(of("store", "S1")), "aborted");
});

Deno.test("openTelemetry() links a transaction to what the program traces", () => {
  using spans = new Spans();
  const context = { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 1 };
  const active = trace.wrapSpanContext(context);
  const original = trace.getActiveSpan;
  try {
    trace.getActiveSpan = () => active;
    openTelemetry("a").begin({ name: "x", ttid: 1n as Tid, node: null }).end();
  } finally {
    trace.getActiveSpan = original;
  }
  const [span] = spans.list;
  assert.deepEqual(span?.links.map((link) => link.context), [context]);
  assert.notEqual(span?.spanContext().traceId, context.traceId);
});

Deno.test("nodes and clients make no spans without a tracer", async () => {
  using spans = new Spans();
  await using cluster = await RealCluster.start();
  const client = await cluster.connect();
  await (await store(client, 1)).commit();
  assert.deepEqual(spans.list, []);
});
