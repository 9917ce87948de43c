/**
 * How scenarios show what nodes say: in short, and with names for ids.
 *
 * @module
 */

import { CellState, ClusterState, ErrorCode } from "../protocol/enums.ts";
import { decodeMessage } from "../protocol/codec.ts";
import { MAX_TID } from "../protocol/ids.ts";

/** Messages that only distract. */
const HIDDEN = new Set([
  "Ping",
  "Pong",
  "NotifyNodeInformation",
  "RequestIdentification",
  "AcceptIdentification",
  "AskLastIDs",
  "AnswerLastIDs",
  "AskLastTransaction",
  "AnswerLastTransaction",
  "AskNewOIDs",
  "AnswerNewOIDs",
  "AskPackOrders",
  "AnswerPackOrders",
  "NotifyPackCompleted",
  "AskRecovery",
  "AskPartitionTable",
  "AskClusterState",
]);
/** Arguments that only distract. */
const OMITTED = new Set(["compression", "checksum", "dataSerial", "user", "extension", "pack"]);

/** One letter for each state of cells. */
const CELLS = ["O", "U", "F", "C", "D"] as const;

/** Names given to ids, and the text of messages with them. */
export class Names {
  readonly #names = new Map<bigint, string>([[0n, "0"], [MAX_TID, "max"]]);

  #expected: string | null = null;

  /** Gives a name to an id, unless it has one. */
  name(id: bigint, name: string): void {
    if (!this.#names.has(id)) this.#names.set(id, name);
  }

  /** The next transaction that begins has this name. */
  expect(name: string): void {
    this.#expected = name;
  }

  /** A text of a node, with names for the ids in it. */
  replace(text: string): string {
    return text.replace(/\b[0-9a-f]{16}\b/g, (id) => this.text(BigInt(`0x${id}`)));
  }

  /** The text of an id. */
  text(id: bigint): string {
    const name = this.#names.get(id);
    if (name !== undefined) return name;
    if (id < 0x10000n) return String(id);
    const previous = this.#names.get(id - 1n);
    return previous === undefined ? "?" : `${previous}+1`;
  }

  /** The text of a message, `null` if it is not worth it. */
  message(bytes: Uint8Array): string | null {
    const { codec: { name }, args } = decodeMessage(bytes);
    if (HIDDEN.has(name)) return null;
    if (name === "AnswerBeginTransaction" && this.#expected !== null) {
      if (typeof args.ttid === "bigint") this.name(args.ttid, this.#expected);
      this.#expected = null;
    }
    // A final tid is named after its transaction.
    if (name === "AskLockInformation" && typeof args.ttid === "bigint") {
      if (typeof args.tid === "bigint") this.name(args.tid, this.text(args.ttid).toUpperCase());
    }
    const texts = Object.entries(args).filter(([key, value]) => !omitted(key, value))
      .map(([key, value]) => this.#argument(key, value));
    return [name, ...texts].join(" ");
  }

  #argument(key: string, value: unknown): string {
    if (key === "rows" && Array.isArray(value)) return rowsText(value);
    if (key === "cells" && Array.isArray(value)) return value.map(cellText).join(" ");
    if (key === "code") return String(ErrorCode[Number(value)]);
    if (key === "state") return String(ClusterState[Number(value)]);
    return `${key}=${this.#value(value)}`;
  }

  #value(value: unknown): string {
    if (typeof value === "bigint") return this.text(value);
    if (value instanceof Uint8Array) return JSON.stringify(new TextDecoder().decode(value));
    if (Array.isArray(value)) return `[${value.map((item) => this.#value(item)).join(" ")}]`;
    if (value instanceof Map) {
      const entries = [...value].map(([key, item]) => `${this.#value(key)}=${this.#value(item)}`);
      return `{${entries.join(" ")}}`;
    }
    if (typeof value === "object" && value !== null && "host" in value) return String(value.host);
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  }
}

function omitted(key: string, value: unknown): boolean {
  return OMITTED.has(key) || value === false ||
    Array.isArray(value) && value.length === 0;
}

interface CellLike {
  readonly partition?: number;
  readonly nid: number;
  readonly state: CellState;
}

function cellText({ partition, nid, state }: CellLike): string {
  return `${partition === undefined ? "" : `${partition}:`}S${nid}=${CELLS[state]}`;
}

/** The cells of a table, partitions separated by bars. */
export function rowsText(rows: readonly (readonly CellLike[])[]): string {
  return rows.map((row) => row.map(cellText).join(" ")).join(" | ");
}
