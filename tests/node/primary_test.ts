import assert from "node:assert/strict";
import { Connection } from "../../network/connection.ts";
import type { Notification, Request } from "../../network/handler.ts";
import { MASTER_PATIENCE, PING_INTERVAL } from "../../network/life_signs.ts";
import { acceptConnections } from "../../network/server.ts";
import { KnownMasters } from "../../node/known_masters.ts";
import { PrimaryFinder } from "../../node/primary.ts";
import { ErrorCode, NodeType } from "../../protocol/enums.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import { type Address, nidOf } from "../../protocol/nodes.ts";
import { type World, world } from "../network/support.ts";

type Identify = Request<"RequestIdentification">;

const address = (n: number): Address => ({ host: `10.0.0.${n}`, port: 10000 });
const ALL = [1, 2, 3].map(address);

/** Masters, and a node that looks for the primary one. */
class Search {
  readonly world: World = world();
  /** When each master was asked, as `time: number of the master`. */
  readonly asked: string[] = [];
  readonly masters: KnownMasters;
  readonly finder: PrimaryFinder;
  closed = 0;
  readonly #stop = new AbortController();

  constructor(masters: readonly Address[] = ALL) {
    this.masters = new KnownMasters(masters);
    this.finder = new PrimaryFinder({
      env: this.world.env,
      masters: () => this.masters.addresses,
      learn: (master) => this.masters.learn(master),
      identify: (): ArgsOf<"RequestIdentification"> => ({
        type: NodeType.ADMIN,
        nid: null,
        address: null,
        cluster: "test",
        idTimestamp: null,
        extra: new Map(),
      }),
      accepted: () => ({}),
      closed: () => this.closed++,
    });
  }

  /** Starts a master that reacts like that to whoever introduces itself. */
  async master(n: number, react: (from: Identify) => void): Promise<() => void> {
    const server = await acceptConnections(this.world.env, {
      address: address(n),
      handler: {
        requestIdentification: (_: unknown, from: Identify) => {
          this.asked.push(`${this.world.clock.monotonic()}: ${n}`);
          react(from);
        },
      },
    });
    return () => server.stop();
  }

  find(): Promise<Connection> {
    return this.finder.find(this.#stop.signal);
  }

  async found(time: number): Promise<Connection> {
    let connection: Connection | null = null;
    this.find().then((found) => connection = found);
    await this.world.clock.advance(time);
    assert(connection !== null, `not found in ${time} ms: ${this.asked}`);
    return connection;
  }
}

const accept = (from: Identify) =>
  from.answer({
    type: NodeType.MASTER,
    nid: nidOf(NodeType.MASTER, 1),
    yourNid: nidOf(NodeType.ADMIN, 1),
  });

function redirect(primary: number | null, masters: readonly Address[] = ALL) {
  return ({ connection }: Notification) => {
    connection.notify("NotPrimaryMaster", { primary, masters });
    connection.abort();
  };
}

Deno.test("PrimaryFinder finds the primary wherever it starts", async () => {
  for (const start of ALL) {
    const search = new Search([start]);
    await search.master(1, redirect(2));
    await search.master(2, redirect(2));
    await search.master(3, accept);
    await search.found(0);
    assert(search.asked.length <= 2, `${search.asked}`);
  }
});

Deno.test("PrimaryFinder asks the others when it is sent to one that is gone", async () => {
  const search = new Search();
  await search.master(2, redirect(0));
  await search.master(3, accept);
  await search.found(0);
  assert.deepEqual(search.asked, ["0: 2", "0: 3"]);
});

Deno.test("PrimaryFinder begins with the primary that was lost, then asks those who may know", async () => {
  const search = new Search();
  let stop = await search.master(1, accept);
  await search.master(2, redirect(null));
  await search.master(3, redirect(1));
  await search.found(0);
  await search.world.clock.advance(5000);
  stop();
  await search.world.clock.advance(0);
  assert.equal(search.closed, 1);
  search.asked.length = 0;
  const finding = search.found(100);
  stop = await search.master(1, accept);
  await finding;
  assert.deepEqual(search.asked, ["5000: 1"]);
  stop();
  await search.world.clock.advance(0);
  search.asked.length = 0;
  search.find();
  await search.world.clock.advance(100);
  assert.deepEqual(search.asked.slice(0, 4), ["5100: 2", "5100: 3", "5120: 2", "5120: 3"]);
});

Deno.test("PrimaryFinder asks others when a master does not answer, and then waits longer for it", async () => {
  const search = new Search(ALL.slice(0, 2));
  let silent = true;
  const waiting: Identify[] = [];
  await search.master(1, (from) => silent ? waiting.push(from) : accept(from));
  await search.master(2, redirect(null, []));
  search.find();
  await search.world.clock.advance(3000);
  assert(waiting[0]?.connection.open === false, "given up");
  await search.world.clock.advance(16_000);
  const asked = search.asked.filter((text) => text.endsWith(": 1")).map((text) => parseInt(text));
  assert.equal(asked.length, 3, `${search.asked}`);
  const [first = 0, second = 0, third = 0] = asked;
  // It is given twice as long each time, and then left alone for as long.
  assert(second - first >= 2 * 3000 - 1000 && second - first <= 2 * 3000);
  assert(third - second >= 2 * 6000 - 1000 && third - second <= 2 * 6000);
  silent = false;
  await search.world.clock.advance(20_000);
  assert.equal(search.closed, 0);
});

Deno.test("PrimaryFinder does not follow those who send it to a silent master, as long as there are others", async () => {
  const search = new Search([1, 2].map(address));
  await search.master(1, () => {});
  const stop = await search.master(2, redirect(0));
  const finding = search.find();
  await search.world.clock.advance(4000);
  stop();
  await search.master(2, accept);
  await search.world.clock.advance(2000);
  await finding;
  const asked = search.asked.map((text) => text.split(": "));
  assert.deepEqual(asked.filter(([, n]) => n === "1"), [["0", "1"]]);
  assert(Number(asked.at(-1)?.[0]) <= 5000);
});

Deno.test("PrimaryFinder begins with others when the primary was silent", async () => {
  const search = new Search([1, 2].map(address));
  await search.master(1, accept);
  const connection = await search.found(0);
  await search.master(2, accept);
  const [link] = search.world.network.links;
  link?.freeze();
  await search.world.clock.advance(MASTER_PATIENCE + PING_INTERVAL);
  assert(!connection.open);
  search.asked.length = 0;
  await search.found(100);
  assert.deepEqual(search.asked.map((text) => text.split(": ")[1]), ["2"]);
});

Deno.test("PrimaryFinder learns a bounded number of masters", async () => {
  const search = new Search([address(1)]);
  const invented = Array.from({ length: 1500 }, (_, n) => ({ host: "10.7.7.7", port: n + 1 }));
  await search.master(1, redirect(null, invented));
  search.find();
  await search.world.clock.advance(10);
  assert.equal(search.masters.addresses.length, 1000);
});

Deno.test("PrimaryFinder goes on when a master refuses or is not ready", async () => {
  const search = new Search();
  await search.master(1, (from) => {
    from.error(ErrorCode.NOT_READY, "recovering");
    from.connection.abort();
  });
  await search.master(2, (from) => {
    from.error(ErrorCode.PROTOCOL_ERROR, "invalid cluster name");
    from.connection.abort();
  });
  await search.master(3, accept);
  await search.found(0);
  search.world.log.assertHas(/WARNING master 10\.0\.0\.2:10000 refuses this node/);
});
