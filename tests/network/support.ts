/** A clock that only moves when told, a log that can be read, and peers made of bare bytes. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type { Environment } from "../../network/environment.ts";
import type { Log } from "../../network/log.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../../network/memory.ts";
import type { Transport, TransportReceiver } from "../../network/transport.ts";
import {
  decodeMessage,
  encodeMessage,
  HANDSHAKE,
  type Message,
  type MessageArgs,
} from "../../protocol/codec.ts";
import type { MessageName } from "../../protocol/messages.ts";
import type { Address } from "../../protocol/nodes.ts";
import { MAX_MESSAGE, MessageSplitter } from "../../protocol/splitter.ts";

/** Milliseconds after which a condition is considered to be never true. */
const PATIENCE = 20_000;

/** Waits for a condition, letting everything else run meanwhile. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Lets everything happen that happens by itself: on a memory network, nothing needs more time. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

/** The same where all is done by this thread, and is only waited for in microtasks and immediates. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

interface Timer {
  readonly time: number;
  readonly callback: () => void;
}

export class FakeClock {
  #time = 0;
  readonly #timers = new Set<Timer>();

  get timers(): number {
    return this.#timers.size;
  }

  monotonic = (): number => this.#time;

  setTimer = (delay: number, callback: () => void): () => void => {
    const timer = { time: this.#time + delay, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Time passes without any timer being called: they are late. */
  skip(milliseconds: number): void {
    this.#time += milliseconds;
  }

  /** Lets time pass, timers being called in their order, and everything happen after each. */
  async advance(milliseconds: number, settle = quiet): Promise<void> {
    const end = this.#time + milliseconds;
    await quiet();
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.time <= end);
      const first = due.sort((a, b) => a.time - b.time)[0];
      if (first === undefined) break;
      this.#timers.delete(first);
      this.#time = Math.max(this.#time, first.time);
      first.callback();
      await settle();
    }
    this.#time = end;
  }
}

export class MemoryLog implements Log {
  readonly lines: string[] = [];
  packet: Log["packet"] = null;
  flushes = 0;
  debug(message: string): void {
    this.lines.push(`DEBUG ${message}`);
  }
  info(message: string): void {
    this.lines.push(`INFO ${message}`);
  }
  warning(message: string): void {
    this.lines.push(`WARNING ${message}`);
  }
  error(message: string): void {
    this.lines.push(`ERROR ${message}`);
  }
  identify(): void {}
  flush(): void {
    this.flushes++;
  }

  assertHas(pattern: RegExp): void {
    assert.ok(this.lines.some((line) => pattern.test(line)), `${pattern} in ${this.lines}`);
  }
}

/** The address of nodes in tests. */
export const HERE: Address = { host: "127.0.0.1", port: 0 };

export interface World {
  readonly env: Environment;
  readonly clock: FakeClock;
  readonly log: MemoryLog;
  readonly network: MemoryNetwork;
}

/** A world without sockets, where time is still. */
export function world(options?: MemoryNetworkOptions): World {
  const clock = new FakeClock();
  const log = new MemoryLog();
  const network = new MemoryNetwork(clock, options);
  const { monotonic, setTimer } = clock;
  const env = {
    now: () => 1700000000 + monotonic() / 1000,
    monotonic,
    setTimer,
    random: () => 0.5,
    log,
    ...network.host(HERE.host),
  };
  return { env, clock, log, network };
}

/** Both ends of a new stream: the one that opened it, and the one that accepted it. */
export async function openStream(
  env: Pick<Environment, "connect" | "listen">,
): Promise<[Transport, Transport]> {
  const accepted = Promise.withResolvers<Transport>();
  const listener = await env.listen(HERE, accepted.resolve);
  try {
    const connecting = await env.connect(listener.address);
    return [connecting, await accepted.promise];
  } finally {
    listener.close();
  }
}

/** A peer that does what a test says, byte by byte. */
export class Peer implements TransportReceiver {
  readonly transport: Transport;
  readonly chunks: Uint8Array[] = [];
  length = 0;
  drains = 0;
  /** `undefined` while open. */
  closedWith: Error | null | undefined = undefined;

  constructor(transport: Transport) {
    this.transport = transport;
    transport.start(this);
  }

  received(chunk: Uint8Array): void {
    assert.equal(this.closedWith, undefined, "received after closed");
    this.chunks.push(chunk);
    this.length += chunk.length;
  }

  drained(): void {
    this.drains++;
  }

  closed(reason: Error | null): void {
    assert.equal(this.closedWith, undefined, "closed twice");
    this.closedWith = reason;
  }

  get isClosed(): boolean {
    return this.closedWith !== undefined;
  }

  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let position = 0;
    for (const chunk of this.chunks) {
      bytes.set(chunk, position);
      position += chunk.length;
    }
    return bytes;
  }

  /** What was received after the handshake. */
  get messages(): Message[] {
    const splitter = new MessageSplitter();
    splitter.limit = MAX_MESSAGE;
    const { bytes } = this;
    if (bytes.length === 0) return [];
    assert.deepEqual(bytes.subarray(0, HANDSHAKE.length), HANDSHAKE);
    splitter.push(bytes.subarray(HANDSHAKE.length));
    const messages: Message[] = [];
    for (let next = splitter.next(); next !== null; next = splitter.next()) {
      messages.push(decodeMessage(next));
    }
    return messages;
  }

  /** Messages received, shortened to what tests compare. */
  get summary(): [string, number, Readonly<Record<string, unknown>>][] {
    return this.messages.map(({ codec, id, args }) => [codec.name, id, args]);
  }

  write(...chunks: Uint8Array[]): void {
    for (const chunk of chunks) this.transport.write(chunk.slice());
  }

  handshake(): void {
    this.write(HANDSHAKE);
  }

  send<N extends MessageName>(name: N, id: number, args: MessageArgs<N>): void {
    this.write(encodeMessage(name, id, args));
  }
}
