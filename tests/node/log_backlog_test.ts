import assert from "node:assert/strict";
import { LogBacklog } from "../../node/log_backlog.ts";

Deno.test("LogBacklog.push() forgets the oldest items when the capacity is exceeded", () => {
  const backlog = new LogBacklog<number>(100);
  for (let i = 0; i < 1000; i++) backlog.push(i, 10);
  assert.equal(backlog.length, 10);
  assert.deepEqual([...backlog], [990, 991, 992, 993, 994, 995, 996, 997, 998, 999]);
  backlog.push(1000, 95);
  assert.deepEqual([...backlog], [1000]);
  backlog.push(1001, 101);
  assert.deepEqual([...backlog], []);
  backlog.push(1002, 100);
  assert.deepEqual([...backlog], [1002]);
  backlog.clear();
  assert.equal(backlog.length, 0);
  backlog.push(1003, 100);
  assert.deepEqual([...backlog], [1003]);
});
