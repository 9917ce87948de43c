/** Renders arguments as in the recorded conversations, driven by the types that encode them. */

import { CellState, ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";
import type { MessageCodec } from "../../protocol/codec.ts";
import { Output } from "../../protocol/output.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Names of the members of each enumeration, by ext type. */
const ENUMS: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  0: CellState,
  1: ClusterState,
  3: NodeState,
  4: NodeType,
};

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

interface Container {
  readonly items: Json[];
  left: number;
  readonly isMap: boolean;
}

class JsonOutput extends Output {
  readonly #containers: Container[] = [{ items: [], left: Infinity, isMap: false }];

  get items(): Json[] {
    return this.#containers[0]?.items ?? [];
  }

  #put(value: Json): void {
    const container = this.#containers.at(-1);
    if (container === undefined) throw new Error("no container");
    container.items.push(value);
    container.left--;
    this.#closeFull();
  }

  #closeFull(): void {
    const container = this.#containers.at(-1);
    if (container === undefined || container.left > 0) return;
    this.#containers.pop();
    const { items, isMap } = container;
    const pairs: Json[] = [];
    for (let i = 0; isMap && i < items.length; i += 2) pairs.push(items.slice(i, i + 2));
    this.#put(isMap ? { map: pairs } : items);
  }

  #open(left: number, isMap: boolean): void {
    this.#containers.push({ items: [], left, isMap });
    this.#closeFull();
  }

  override nil(): void {
    this.#put(null);
  }
  override boolean(value: boolean): void {
    this.#put(value);
  }
  override int(value: number): void {
    this.#put(value);
  }
  override float(value: number): void {
    this.#put(value);
  }
  override id(value: bigint): void {
    this.#put({ hex: value.toString(16).padStart(16, "0") });
  }
  override bin(value: Uint8Array): void {
    this.#put({ hex: hex(value) });
  }
  override text(value: string): void {
    this.#put({ hex: hex(new TextEncoder().encode(value)) });
  }
  override member(type: number, value: number): void {
    const name = ENUMS[type]?.[value];
    if (name === undefined) throw new Error(`no member ${value} in enumeration ${type}`);
    this.#put(name);
  }
  override array(length: number): void {
    this.#open(length, false);
  }
  override map(length: number): void {
    this.#open(length * 2, true);
  }
}

/** The arguments of a message as the recordings show them. */
export function renderArguments(
  codec: MessageCodec,
  args: Readonly<Record<string, unknown>>,
): Json[] {
  const output = new JsonOutput();
  for (const [name, type] of codec.fields) type.write(output, args[name]);
  return output.items;
}
