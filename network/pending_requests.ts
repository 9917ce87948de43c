/**
 * The requests of one connection that wait for their answers.
 *
 * @module
 */

import type { Args } from "./incoming.ts";
import type { ConnectionClosed, ErrorAnswer } from "./handler.ts";

/** A request that was sent. */
export interface PendingRequest {
  /** Code of its answer. */
  readonly expected: number;
  readonly onAnswer: (args: Args) => void;
  readonly onError: (error: ErrorAnswer | ConnectionClosed) => void;
}

/** Pending requests by id, and the counter that ids come from. */
export class PendingRequests {
  #nextId: number;
  readonly #requests = new Map<number, PendingRequest>();

  constructor(firstId: number) {
    this.#nextId = firstId;
  }

  get size(): number {
    return this.#requests.size;
  }

  /** The id of the next message sent that is no answer: 32 bits, then from 0 again. */
  takeId(): number {
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0;
    return id;
  }

  add(id: number, request: PendingRequest): void {
    this.#requests.set(id, request);
  }

  /** The code of the answer to a request, `undefined` if there is no such request. */
  expected(id: number): number | undefined {
    return this.#requests.get(id)?.expected;
  }

  /** Removes a request that is answered. */
  take(id: number): PendingRequest | undefined {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    return request;
  }

  /** Removes all requests, in the order they were sent. */
  takeAll(): PendingRequest[] {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    return requests;
  }
}
