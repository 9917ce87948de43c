/**
 * What happened in a run: messages that arrived, records of logs, faults.
 *
 * @module
 */

import type { Log } from "../network/log.ts";
import { decodeMessage, HANDSHAKE } from "../protocol/codec.ts";
import { hexId, toTid } from "../protocol/ids.ts";
import { MessageSplitter } from "../protocol/splitter.ts";
import type { VirtualClock } from "./clock.ts";
import type { StreamEnd } from "./stream.ts";

interface Arrival {
  readonly time: number;
  readonly from: string;
  readonly to: string;
  /** Of the stream, one for each direction. */
  readonly direction: string;
  readonly bytes: Uint8Array;
}

interface Line {
  readonly time: number;
  readonly text: string;
}

/** A record of a log, for those who watch. */
export type Watch = (host: string, level: "warning" | "error", text: string) => void;

/** The story of a run. Two runs are the same if their hashes are. */
export class Trace {
  readonly #clock: VirtualClock;
  readonly #watch: Watch;
  readonly #entries: (Arrival | Line)[] = [];
  #hash = 0x811c9dc5;

  constructor(clock: VirtualClock, watch: Watch) {
    this.#clock = clock;
    this.#watch = watch;
  }

  /** A number that depends on everything recorded so far. */
  get hash(): number {
    return this.#hash;
  }

  /** Records that bytes have arrived at the other end of a stream. */
  arrived(from: StreamEnd, bytes: Uint8Array): void {
    const { now } = this.#clock;
    const direction = `${from.number} ${from.from.host}`;
    const { host: to } = from.remote;
    this.#entries.push({ time: now, from: from.from.host, to, direction, bytes });
    this.#mix(now * 1000);
    this.#mix(from.number);
    for (const byte of bytes) this.#mix(byte);
  }

  /** Records something else. */
  note(text: string): void {
    this.#entries.push({ time: this.#clock.now, text });
    this.#mix(this.#clock.now * 1000);
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
  }

  /** The log of a node. */
  log(host: string): Log {
    const record = (level: string) => (text: string) => this.note(`${host} ${level}: ${text}`);
    const watched = (level: "warning" | "error") => (text: string) => {
      record(level)(text);
      this.#watch(host, level, text);
    };
    return {
      debug: record("debug"),
      info: record("info"),
      warning: watched("warning"),
      error: watched("error"),
      packet: null,
      identify() {},
      flush() {},
    };
  }

  /** What was recorded, with messages decoded, one entry a line. */
  *lines(): Iterable<string> {
    const readers = new Map<string, MessageReader>();
    for (const entry of this.#entries) {
      const time = (entry.time / 1000).toFixed(4).padStart(9);
      if ("text" in entry) {
        yield `${time} ${entry.text}`;
        continue;
      }
      const { direction, from, to, bytes } = entry;
      let reader = readers.get(direction);
      if (reader === undefined) readers.set(direction, reader = new MessageReader());
      for (const message of reader.read(bytes)) yield `${time} ${from} > ${to} ${message}`;
    }
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193) >>> 0;
  }
}

/** Reads one direction of a stream. */
export class MessageReader {
  readonly #splitter = new MessageSplitter();
  #handshake = 0;

  /** The messages that are complete, as text. */
  *read(bytes: Uint8Array): Iterable<string> {
    const skipped = Math.min(HANDSHAKE.length - this.#handshake, bytes.length);
    this.#handshake += skipped;
    this.#splitter.push(bytes.subarray(skipped));
    for (;;) {
      const message = this.#splitter.next();
      if (message === null) return;
      const { id, codec, args } = decodeMessage(message);
      yield `${codec.name} #${id} ${valueText(args)}`;
    }
  }
}

function valueText(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "bigint") return hexId(toTid(value));
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) return `[${value.map(valueText).join(", ")}]`;
  if (value instanceof Map) {
    return `{${
      [...value].map(([key, item]) => `${valueText(key)}: ${valueText(item)}`).join(", ")
    }}`;
  }
  if (typeof value !== "object") return String(value);
  const fields = Object.entries(value).map(([name, field]) => `${name}: ${valueText(field)}`);
  return `{${fields.join(", ")}}`;
}

function bytesText(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  return /^[\x20-\x7e]*$/.test(text) ? JSON.stringify(text) : `<${bytes.length} bytes>`;
}
