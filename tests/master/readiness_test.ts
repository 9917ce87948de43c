import assert from "node:assert/strict";
import { Readiness } from "../../master/readiness.ts";

Deno.test("Readiness blocks transactions while a storage is starting", () => {
  const readiness = new Readiness();
  readiness.start(1);
  readiness.start(2);
  assert(readiness.ready(1));
  assert(readiness.blocked);
  readiness.remove(2);
  assert(!readiness.blocked);
  readiness.block();
  assert(readiness.blocked);
  readiness.clear();
  assert(!readiness.blocked);
});

Deno.test("Readiness.isReady() does not count storages that became ready later, or came back", () => {
  const readiness = new Readiness();
  readiness.start(1);
  readiness.start(2);
  readiness.ready(1);
  const counter = readiness.counter;
  readiness.ready(2);
  assert(readiness.isReady(1, counter));
  assert(!readiness.isReady(2, counter));
  assert(readiness.isReady(2));
  readiness.remove(1);
  readiness.start(1);
  readiness.ready(1);
  assert(!readiness.isReady(1, counter));
  assert.deepEqual(readiness.nids(), [2, 1]);
});

Deno.test("Readiness.ready() says when a storage was not told to start", () => {
  const readiness = new Readiness();
  assert(!readiness.ready(1));
  readiness.start(1);
  assert.throws(() => readiness.start(1), /already/);
  assert(readiness.ready(1));
  assert(!readiness.ready(1));
  assert.throws(() => readiness.start(1), /already/);
});
