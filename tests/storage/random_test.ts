/** Random transactions: locks exclude each other, nobody waits for ever, nothing stays. */

import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import type { Oid, Tid } from "../../protocol/ids.ts";
import {
  type Asked,
  client,
  type FakeClient,
  oid,
  type Scene,
  tid,
  withScene,
  ZERO_TID,
} from "./support.ts";

type Step =
  | { readonly do: "store" | "check"; readonly object: number }
  | { readonly do: "vote" | "finish" | "abort" | "relock" | "leave" };

interface Action {
  readonly client: number;
  readonly step: Step;
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("store" as const), object: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("check" as const), object: fc.nat(2) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("vote", "finish", "abort", "relock", "relock", "leave"),
    }),
  },
);
const actions: fc.Arbitrary<Action[]> = fc.array(fc.record({ client: fc.nat(2), step }), {
  minLength: 10,
  maxLength: 40,
});

/** With nothing but memory involved, everything happens before the next turn of the event loop. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A transaction as its client knows it. */
class Player {
  ttid: Tid;
  readonly touched = new Set<Oid>();
  readonly stored = new Set<Oid>();
  readonly asked: { oid: Oid; asked: Asked<"AskStoreObject"> | Asked<"AskRelockObject"> }[] = [];
  voted = false;
  #seen = 0;

  constructor(readonly peer: FakeClient, n: number) {
    this.ttid = tid(n);
  }

  get busy(): boolean {
    return this.asked.some(({ asked }) => asked.pending);
  }

  /** Objects that an older transaction wants, since the last call. */
  deadlocks(): Oid[] {
    const all = this.peer.all("NotifyDeadlock").slice(this.#seen);
    this.#seen += all.length;
    return all.filter(({ ttid }) => ttid === this.ttid).map(({ oid }) => oid as Oid);
  }

  begin(n: number): void {
    this.ttid = tid(n);
    this.touched.clear();
    this.stored.clear();
    this.asked.length = 0;
    this.voted = false;
  }
}

class Game {
  readonly players: (Player | null)[] = [];
  readonly serials = new Map<Oid, Tid>();
  readonly holders = new Map<Oid, Tid>();
  #next = 1000;

  constructor(readonly scene: Scene) {}

  async join(n: number): Promise<Player> {
    const player = new Player(await this.scene.connect(client(this.#next)), this.#take());
    this.players[n] = player;
    return player;
  }

  /** Numbers of transactions increase, and are all in one partition. */
  #take(): number {
    return this.#next += 2;
  }

  async play({ client: n, step }: Action): Promise<void> {
    const player = this.players[n] ?? await this.join(n);
    const { peer, ttid, touched } = player;
    switch (step.do) {
      case "store":
      case "check": {
        const object = oid(step.object);
        if (touched.has(object) || player.voted) return;
        touched.add(object);
        if (step.do === "store") player.stored.add(object);
        const serial = this.serials.get(object) ?? ZERO_TID;
        const asked = step.do === "store"
          ? peer.store(ttid, object, serial, `${ttid}`)
          : peer.check(ttid, object, serial) as Asked<"AskStoreObject">;
        player.asked.push({ oid: object, asked });
        break;
      }
      case "relock":
        if (player.voted) return;
        for (const object of player.deadlocks()) {
          this.#free(player, object);
          player.asked.push({ oid: object, asked: peer.relock(ttid, object) });
        }
        break;
      case "vote":
        if (player.voted || player.busy || this.#lost(player)) return;
        await peer.vote(ttid, [...touched]).got();
        player.voted = true;
        break;
      case "finish": {
        if (!player.voted) return;
        const final = tid(this.#take());
        await this.scene.master.lock(ttid, final);
        this.#release(player);
        this.scene.master.unlock(ttid);
        for (const object of player.stored) this.serials.set(object, final);
        player.begin(this.#take());
        break;
      }
      case "abort":
        this.#release(player);
        peer.abort(ttid);
        player.begin(this.#take());
        break;
      case "leave":
        if (player.voted) return;
        this.#release(player);
        peer.connection.close();
        this.players[n] = null;
        break;
    }
    await settle();
    this.#update();
  }

  /** Whether an object was modified by another transaction. */
  #lost({ ttid, touched }: Player): boolean {
    return [...touched].some((object) => this.holders.get(object) !== ttid);
  }

  #free({ ttid }: Player, object: Oid): void {
    if (this.holders.get(object) === ttid) this.holders.delete(object);
  }

  #release(player: Player): void {
    for (const object of player.touched) this.#free(player, object);
  }

  /** Looks at the answers. */
  #update(): void {
    for (const player of this.players) {
      for (const { oid, asked } of player?.asked.splice(0) ?? []) {
        if (player === null || player === undefined) continue;
        if (asked.pending) player.asked.push({ oid, asked });
        else {
          assert.equal(asked.error, null, `${asked.error}`);
          if (asked.answer?.conflict !== null) continue;
          const holder = this.holders.get(oid);
          assert.ok(holder === undefined || holder === player.ttid, "two holders of a lock");
          this.holders.set(oid, player.ttid);
        }
      }
    }
  }

  /** Everybody finishes or aborts: then nobody waits, and nothing is locked. */
  async end(): Promise<void> {
    for (let n = 0; n < this.players.length; n++) {
      const player = this.players[n];
      if (!player) continue;
      await this.play({ client: n, step: { do: player.voted ? "finish" : "abort" } });
      assert.ok(!player.busy);
    }
    assert.match(this.scene.storage.dump(), /\b0 objects are locked, 0 transactions are being/);
    assert.doesNotMatch(this.scene.storage.dump(), /[1-9]\d* requests wait/);
    const { database } = this.scene.held();
    assert.equal((await database.lockedTransactions()).size, 0);
    for (const player of this.players.splice(0)) player?.peer.connection.close();
    assert.equal(this.holders.size, 0);
    await settle();
  }
}

Deno.test("random transactions exclude each other, and all come to an end", async () => {
  await withScene({}, async (scene) => {
    const game = new Game(scene);
    await fc.assert(
      fc.asyncProperty(actions, async (actions) => {
        for (const action of actions) await game.play(action);
        await game.end();
      }),
      { numRuns: 60 },
    );
    assert.ok(game.serials.size > 0, "something was committed");
  });
});
