/**
 * What Deno exports of the spans of a cluster and of a client, in processes of their own.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Page } from "../docs/page.ts";
import { Shell } from "../docs/shell.ts";
import {
  freePort,
  NodeProcess,
  PERMISSIONS,
  ProcessCluster,
  ROOT,
  until,
} from "../support/processes.ts";

/** A span as OpenTelemetry sends it. */
interface Exported {
  readonly traceId: string;
  readonly name: string;
}

/** Spans of a request. */
interface Export {
  readonly resourceSpans?: readonly {
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly Exported[];
    }[];
  }[];
}

/** How the collector wants spans: as text, and soon. */
const FORM = { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "100" };

/** Receives what is exported. */
class Collector implements AsyncDisposable {
  readonly spans: Exported[] = [];
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: freePort(), onListen: () => {} },
    async (request) => {
      const body: Export = await request.json();
      for (const { scopeSpans } of body.resourceSpans ?? []) {
        for (const { scope, spans } of scopeSpans) {
          if (scope.name === "neo") this.spans.push(...spans);
        }
      }
      return Response.json({});
    },
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** What makes Deno export to it. */
  get variables(): Record<string, string> {
    return { ...FORM, OTEL_DENO: "true", OTEL_EXPORTER_OTLP_ENDPOINT: this.url };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

const PROGRAM = `
import { connect } from "./client/mod.ts";
import { openTelemetry } from "./node/open_telemetry.ts";
await using client = await connect(Deno.args[0], { tracing: openTelemetry });
await using transaction = await client.begin();
await transaction.store(await client.newOid(), null, new Uint8Array(1));
await transaction.commit();
`;

Deno.test("OTEL_DENO=true exports the trace of a commit from all processes", async () => {
  await using collector = new Collector();
  await using cluster = new ProcessCluster({
    partitions: 1,
    databases: [{ adapter: "SQLite", database: ":memory:" }],
    variables: collector.variables,
  }).start();
  await cluster.running();
  const client = new NodeProcess("client", ["eval", PROGRAM, cluster.uri], collector.variables)
    .start();
  assert.equal((await client.ended()).code, 0, client.output + cluster.output());
  const expected = [
    ...["transaction", "store", "vote", "finish"],
    ...["store", "vote", "lock", "unlock"],
    ...["finish", "lock"],
  ].sort();
  await until("all spans are exported", () => collector.spans.length >= expected.length);
  assert.deepEqual(collector.spans.map(({ name }) => name).sort(), expected);
  assert.equal(new Set(collector.spans.map(({ traceId }) => traceId)).size, 1);
});

Deno.test("docs/tracing.md makes a node export its spans", async () => {
  const page = Page.read("docs/tracing.md");
  await using collector = new Collector();
  await using cluster = new ProcessCluster({
    partitions: 1,
    databases: [{ adapter: "SQLite", database: ":memory:" }],
  });
  const [storage] = cluster.storages;
  assert(storage !== undefined);
  for (const process of cluster.processes) if (process !== storage) process.start();
  const masters = cluster.masterAddresses.map(({ host, port }) => `${host}:${port}`).join(" ");
  const program = ["deno", "run", ...PERMISSIONS.storage, "storage/main.ts"].join(" ");
  const options = `--cluster test --masters "${masters}" --adapter SQLite --database :memory:`;
  const shell = new Shell({
    folder: ROOT.pathname,
    path: [],
    translate: (text) =>
      text.replace("http://collector:4318", collector.url).replace(
        "neostorage …",
        `${program} ${options}`,
      ),
    env: FORM,
  });
  const node = shell.start(`exec env ${page.take("Nodes")}`);
  try {
    await cluster.running();
    const client = new NodeProcess("client", ["eval", PROGRAM, cluster.uri]).start();
    assert.equal((await client.ended()).code, 0, client.output + node.output);
    await until("its spans are exported", () => collector.spans.length >= 4);
    assert.deepEqual(
      collector.spans.map(({ name }) => name).sort(),
      ["lock", "store", "unlock", "vote"],
    );
    assert.equal((await cluster.neoctl("set", "cluster", "stopping")).code, 0);
    assert.equal((await node.ended()).code, 0, node.output);
    page.assertExecuted();
  } finally {
    await node.kill("SIGTERM");
  }
});
