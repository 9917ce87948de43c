import { deepEqual, equal, match, rejects } from "node:assert/strict";
import type { TransactionRecord } from "../../client/records.ts";
import {
  type Amount,
  copyTransactions,
  FileDestination,
  FileSource,
  type Loss,
  type TransactionDestination,
  type TransactionSource,
} from "../../filestorage/mod.ts";
import { type Tid, tidFromTime, ZERO_TID } from "../../protocol/ids.ts";
import { concat, dump, type DumpedTransaction, dumpFile, expectedDump } from "./support.ts";
import { fixture, tidOf, transaction, withFile, withFolder } from "./support.ts";

/** A history in memory, at either end of a copy. */
class Memory implements TransactionSource, TransactionDestination {
  readonly repeatsOids = true;
  readonly losses: ReadonlySet<Loss>;
  readonly written: TransactionRecord[];
  synced = false;

  constructor(history: TransactionRecord[] = [], losses: Loss[] = []) {
    this.written = history;
    this.losses = new Set(losses);
  }

  describe(): string {
    return "memory";
  }

  lastTid(): Promise<Tid> {
    return Promise.resolve(this.written.at(-1)?.tid ?? ZERO_TID);
  }

  async *transactions(from?: Tid, to?: Tid): AsyncGenerator<TransactionRecord> {
    for await (const each of this.written) {
      if ((from ?? 0n) <= each.tid && each.tid <= (to ?? each.tid)) yield each;
    }
  }

  measure(): Promise<Amount | null> {
    return Promise.resolve(null);
  }

  lastTransactions(count: number): Promise<TransactionRecord[]> {
    return Promise.resolve(this.written.slice(-count));
  }

  async write(transaction: TransactionRecord): Promise<void> {
    const list = await Array.fromAsync(transaction.records());
    const { tid, status, user, description, extension } = transaction;
    const records = () => ReadableStream.from(list);
    this.written.push({ tid, status, user, description, extension, records });
  }

  sync(): Promise<void> {
    this.synced = true;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  dump(): Promise<DumpedTransaction[]> {
    return dump(this.transactions());
  }
}

const HISTORY = [
  transaction(10, [[1, "a"], [2, "x"]]),
  transaction(20, [[1, "b"]]),
  transaction(30, [[1, "a", 10]]),
  transaction(40, [[2, null]]),
];

Deno.test("copyTransactions() copies a FileStorage byte for byte", async () => {
  for (const name of ["history", "duplicates", "small", "empty"] as const) {
    await withFile(await fixture(name), async (path) => {
      const source = await FileSource.open(path);
      const destination = await FileDestination.open(`${path}.copy`);
      let last = 0;
      const summary = await copyTransactions(source, destination, {
        onProgress: ({ bytes }) => last = bytes,
      });
      await Promise.all([source.close(), destination.close()]);
      const content = await fixture(name);
      equal((await Deno.readFile(`${path}.copy`)).toHex(), content.toHex());
      equal(summary.transactions, (await expectedDump(name)).length);
      equal(summary.bytes, content.length - 4);
      equal(last, summary.bytes);
      equal(summary.repeatedOids, 0);
    });
  }
});

Deno.test("copyTransactions() continues after what the destination has", async () => {
  const content = await fixture("history");
  await withFile(content, async (path) => {
    const source = await FileSource.open(path);
    const ends = await Array.fromAsync(source.reader.transactions(), (t) => t.header.position);
    for (const [index, end] of ends.entries()) {
      // As an interruption leaves it: with the beginning of the next transaction.
      await Deno.writeFile(`${path}.copy`, content.subarray(0, end + 30));
      const destination = await FileDestination.open(`${path}.copy`);
      const summary = await copyTransactions(source, destination);
      await destination.close();
      equal(summary.transactions, ends.length - index);
      equal((await Deno.readFile(`${path}.copy`)).toHex(), content.toHex());
    }
    const complete = await FileDestination.open(`${path}.copy`);
    equal((await copyTransactions(source, complete)).transactions, 0);
    await Promise.all([source.close(), complete.close()]);
  });
});

Deno.test("copyTransactions() refuses a destination that holds something else", async () => {
  const changes: TransactionRecord[][] = [
    [transaction(10, [[1, "a"], [2, "y"]])],
    [transaction(10, [[1, "a"]])],
    [transaction(10, [[1, "a"], [2, "x"]], { user: new Uint8Array(3) })],
    [...HISTORY.slice(0, 1), transaction(21, [[1, "b"]])],
    [...HISTORY.slice(0, 1), transaction(15, [[1, "c"]]), ...HISTORY.slice(1, 2)],
    [...HISTORY, transaction(50, [[1, "b"]])],
  ];
  for (const history of changes) {
    const destination = new Memory([...history]);
    await rejects(copyTransactions(new Memory(HISTORY), destination), {
      name: "CopyError",
      message: /^memory is not empty, and is not the beginning of memory: tid [0-9a-f]{16}/,
    });
    equal(destination.written.length, history.length);
  }
});

Deno.test("copyTransactions() does not touch a file that it refuses", async () => {
  const content = concat(await fixture("small"), [1, 2, 3]);
  await withFile(content, async (path) => {
    const destination = await FileDestination.open(path);
    await rejects(copyTransactions(new Memory(HISTORY), destination), { name: "CopyError" });
    await destination.close();
    equal((await Deno.readFile(path)).toHex(), content.toHex());
  });
});

Deno.test("copyTransactions() copies a range, and data whose origin is out of it", async () => {
  const destination = new Memory();
  const options = { from: tidOf(20), to: tidOf(30) };
  const summary = await copyTransactions(new Memory(HISTORY), destination, options);
  equal(summary.transactions, 2);
  equal(summary.tid, 30n);
  const expected = new Memory([transaction(20, [[1, "b"]]), transaction(30, [[1, "a"]])]);
  deepEqual(await destination.dump(), await expected.dump());

  await copyTransactions(new Memory(HISTORY), destination, { from: tidOf(20) });
  equal(destination.written.length, 3);
});

Deno.test("copyTransactions() refuses to leave a gap", async () => {
  const destination = new Memory(HISTORY.slice(0, 1));
  await rejects(
    copyTransactions(new Memory(HISTORY), destination, { from: tidOf(30) }),
    /starting from 000000000000001e would leave out 0000000000000014/,
  );
  const summary = await copyTransactions(new Memory(HISTORY), destination, { from: tidOf(15) });
  equal(summary.transactions, 3);
});

Deno.test("copyTransactions() keeps the last record of an oid if only one is possible", async () => {
  await withFile(await fixture("duplicates"), async (path) => {
    const source = await FileSource.open(path);
    const destination = new Memory([], ["repeated oids"]);
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const summary = await copyTransactions(source, destination, { onWarning });
    equal(summary.repeatedOids, 2);
    match(warnings.join("\n"), /^transaction \w+ has several records of oid 0000000000000001: /);
    equal(warnings.length, 1);
    const expected = await expectedDump("duplicates");
    const [first, second, third, fourth] = await destination.dump();
    deepEqual([first, third], [expected[0], expected[2]]);
    const records = expected[1]?.records ?? [];
    deepEqual(second?.records, [records[4], records[1], records[3]]);
    // Which record of the second transaction it shared its data with is not certain any more.
    deepEqual(fourth?.records[0], { ...expected[3]?.records[0], dataTid: null });

    destination.written.pop();
    equal((await copyTransactions(source, destination)).transactions, 1);
    await source.close();
  });
});

Deno.test("copyTransactions() tells what is lost", async () => {
  await withFile(await fixture("packed"), async (path) => {
    const source = await FileSource.open(path);
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const lossy = new Memory([], ["packed status"]);
    equal((await copyTransactions(source, lossy, { onWarning })).lostPackedStatus, 4);
    match(warnings.join(), /^4 transactions are marked as packed: memory can not keep the mark$/);
    equal((await copyTransactions(source, new Memory())).lostPackedStatus, 0);
    await source.close();
  });
});

Deno.test("copyTransactions() refuses blobs unless told to go without", async () => {
  await withFile(await fixture("blob"), async (path) => {
    const source = await FileSource.open(path);
    const refusing = await FileDestination.open(`${path}.copy`);
    await rejects(copyTransactions(source, refusing), /object 0000000000000001 is a blob/);
    await refusing.close();
    equal((await dumpFile(`${path}.copy`)).length, 1);

    const destination = await FileDestination.open(`${path}.copy`);
    equal((await copyTransactions(source, destination, { withoutBlobs: true })).blobs, 1);
    await Promise.all([source.close(), destination.close()]);
    deepEqual(await dumpFile(`${path}.copy`), await expectedDump("blob"));
  });
});

Deno.test("copyTransactions() warns of tids in the future", async () => {
  const warnings: string[] = [];
  const options = { now: 1_000_000_000, onWarning: (message: string) => warnings.push(message) };
  const at = (time: number) => new Memory([{ ...transaction(0, []), tid: tidFromTime(time) }]);
  await copyTransactions(at(999_999_999), new Memory(), options);
  deepEqual(warnings, []);
  await copyTransactions(at(1_000_003_600), new Memory(), options);
  match(warnings.join(), /memory is in the future \(2001-09-09 02:46:39/);
});

Deno.test("copyTransactions() refuses tids that do not increase", async () => {
  await withFolder(async (folder) => {
    const source = new Memory([...HISTORY, ...HISTORY]);
    const destination = await FileDestination.open(`${folder}/Data.fs`);
    await rejects(copyTransactions(source, destination), /tids must increase/);
    await destination.close();
    equal((await dumpFile(`${folder}/Data.fs`)).length, HISTORY.length);
  });
});

Deno.test("copyTransactions() refuses ids beyond 2^63", async () => {
  const far = { ...transaction(0, []), tid: (1n << 63n) as Tid };
  await rejects(
    copyTransactions(new Memory([far]), new Memory()),
    /tid 8000000000000000 is beyond/,
  );
});

Deno.test("copyTransactions() stops between transactions when it is told to", async () => {
  const controller = new AbortController();
  const destination = new Memory();
  const copy = copyTransactions(new Memory(HISTORY), destination, {
    signal: controller.signal,
    onProgress: ({ transactions }) => transactions === 2 && controller.abort(),
  });
  await rejects(copy, { name: "AbortError" });
  equal(destination.written.length, 2);
});

Deno.test("copyTransactions() waits until the destination is durable", async () => {
  const destination = new Memory();
  await copyTransactions(new Memory(HISTORY), destination);
  equal(destination.synced, true);
});

Deno.test("FileDestination creates the file of an empty history", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    const destination = await FileDestination.open(path, { magic: "FS21" });
    await copyTransactions(new Memory(), destination);
    await destination.close();
    equal(await Deno.readTextFile(path), "FS21");
  });
});
