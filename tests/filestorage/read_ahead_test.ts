import { deepEqual, equal, rejects } from "node:assert/strict";
import { prefetchRecords } from "../../filestorage/prefetch.ts";
import { ReadAhead } from "../../filestorage/read_ahead.ts";
import { dump, transaction } from "./support.ts";

/** Numbers from 1 on, which count how many were taken, and know whether they were given up. */
class Numbers implements AsyncIterable<number> {
  taken = 0;
  closed = false;

  constructor(readonly count: number) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<number> {
    try {
      while (this.taken < this.count) yield await Promise.resolve(++this.taken);
    } finally {
      this.closed = true;
    }
  }
}

function readAhead(numbers: Numbers, limit: number): ReadAhead<number, string> {
  const prepare = (number: number) =>
    number === 13 ? Promise.reject(new Error("unlucky")) : Promise.resolve(`#${number}`);
  return new ReadAhead(numbers, { prepare, size: () => 10, limit });
}

Deno.test("ReadAhead takes no more in advance than the limit", async () => {
  const numbers = new Numbers(5);
  const ahead = readAhead(numbers, 25);
  await ahead.fill();
  await ahead.fill();
  equal(numbers.taken, 3);
  deepEqual(await Array.fromAsync(ahead), ["#1", "#2", "#3", "#4", "#5"]);
});

Deno.test("ReadAhead gives up what nobody takes", async () => {
  for (const stop of [(ahead: ReadAhead<number, string>) => ahead.close(), takeOne]) {
    const numbers = new Numbers(5);
    const ahead = readAhead(numbers, 25);
    await ahead.fill();
    await stop(ahead);
    equal(numbers.closed, true);
  }
});

async function takeOne(ahead: ReadAhead<number, string>): Promise<void> {
  for await (const item of ahead) {
    equal(item, "#1");
    return;
  }
}

Deno.test("ReadAhead fails where the item is used, not before", async () => {
  const ahead = readAhead(new Numbers(20), 1000);
  await ahead.fill();
  const used: string[] = [];
  await rejects(async () => {
    for await (const item of ahead) used.push(item);
  }, /unlucky/);
  equal(used.length, 12);
});

Deno.test("prefetchRecords() changes nothing, however records are read", async () => {
  const history = Array.from(
    { length: 40 },
    (_, n) => transaction(n + 1, n % 3 === 0 ? [] : [[1, "a"], [2, "b".repeat(n)]]),
  );
  const expected = await dump(ReadableStream.from(history));
  deepEqual(await dump(prefetchRecords(ReadableStream.from(history))), expected);

  async function* readTwice() {
    for await (const each of prefetchRecords(ReadableStream.from(history))) {
      await Array.fromAsync(each.records());
      yield each;
    }
  }
  deepEqual(await dump(readTwice()), expected);
  const late = await Array.fromAsync(prefetchRecords(ReadableStream.from(history)));
  deepEqual(await dump(ReadableStream.from(late)), expected);
});

Deno.test("prefetchRecords() asks for the records of the next transactions", async () => {
  const asked: number[] = [];
  const history = Array.from({ length: 60 }, (_, n) => {
    const { records, ...info } = transaction(n + 1, [[1, "a"]]);
    return { ...info, records: () => (asked.push(n), records()) };
  });
  let used = 0;
  let most = 0;
  for await (const each of prefetchRecords(ReadableStream.from(history))) {
    await Array.fromAsync(each.records());
    used++;
    most = Math.max(most, asked.length - used);
  }
  equal(asked.length, 60);
  equal(most, 16);
});
