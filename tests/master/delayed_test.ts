import assert from "node:assert/strict";
import { DelayedRequests, MAX_DELAYED } from "../../master/delayed.ts";
import { type Command, Refusal } from "../../network/handler.ts";
import { ErrorCode } from "../../protocol/enums.ts";

/** A request, as far as it matters here. */
class FakeRequest {
  open = true;
  readonly errors: string[] = [];

  get command(): Command {
    const { errors } = this;
    const connection = {
      isOpen: () => this.open,
      get open() {
        return this.isOpen();
      },
      abort: () => errors.push("abort"),
    };
    const error = (code: ErrorCode, message = "") => errors.push(`${ErrorCode[code]} ${message}`);
    return { id: 0, connection, error } as unknown as Command;
  }
}

Deno.test("DelayedRequests.kick() answers in the order of arrival", () => {
  const delayed = new DelayedRequests();
  const done: number[] = [];
  let ready = false;
  for (const n of [1, 2, 3]) {
    delayed.submit(new FakeRequest().command, () => {
      if (ready) done.push(n);
      return ready;
    });
  }
  delayed.kick();
  assert.deepEqual(done, []);
  ready = true;
  delayed.kick();
  assert.deepEqual(done, [1, 2, 3]);
  assert.equal(delayed.size, 0);
});

Deno.test("DelayedRequests.kick() starts over when an attempt makes an earlier one possible", () => {
  const delayed = new DelayedRequests();
  const done: string[] = [];
  let second = false;
  let kicked = false;
  delayed.submit(new FakeRequest().command, () => second && done.push("first") > 0);
  delayed.submit(new FakeRequest().command, () => {
    if (!kicked) return false;
    second = true;
    delayed.kick();
    return done.push("second") > 0;
  });
  kicked = true;
  delayed.kick();
  assert.deepEqual(done, ["second", "first"]);
});

Deno.test("DelayedRequests.kick() drops requests whose peer left", () => {
  const delayed = new DelayedRequests();
  const request = new FakeRequest();
  let attempts = 0;
  delayed.submit(request.command, () => ++attempts > 1);
  request.open = false;
  delayed.kick();
  assert.equal(attempts, 1);
  assert.equal(delayed.size, 0);
});

Deno.test("DelayedRequests.kick() tells failures to the peer that waited", () => {
  const delayed = new DelayedRequests();
  const request = new FakeRequest();
  let first = true;
  delayed.submit(request.command, () => {
    if (!first) throw new Refusal(ErrorCode.PROTOCOL_ERROR, "no");
    return first = false;
  });
  delayed.kick();
  assert.deepEqual(request.errors, ["PROTOCOL_ERROR no", "abort"]);
});

Deno.test("DelayedRequests.submit() refuses a connection that makes too many requests wait", () => {
  const delayed = new DelayedRequests();
  let ready = false;
  const { command } = new FakeRequest();
  for (let i = 0; i < MAX_DELAYED; i++) delayed.submit(command, () => ready);
  assert.throws(() => delayed.submit(command, () => ready), Refusal);
  delayed.submit(new FakeRequest().command, () => ready);
  assert.equal(delayed.size, MAX_DELAYED + 1);
  ready = true;
  delayed.kick();
  assert.equal(delayed.size, 0);
  ready = false;
  delayed.submit(command, () => ready);
  assert.equal(delayed.size, 1);
});
