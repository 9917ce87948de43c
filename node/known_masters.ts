/**
 * The masters that a node knows while it looks for the primary one.
 *
 * @module
 */

import { type Address, formatAddress } from "../protocol/nodes.ts";

/** Those the node was started with, for ever, and those it was told about since. */
export class KnownMasters {
  readonly #configured: readonly Address[];
  readonly #save: (masters: readonly Address[]) => void;
  #learnt = new Map<string, Address>();

  /**
   * @param configured those to start with.
   * @param save remembers the list of the primary for the next start.
   */
  constructor(
    configured: readonly Address[],
    save: (masters: readonly Address[]) => void = () => {},
  ) {
    this.#configured = configured;
    this.#save = save;
  }

  /** All of them, each once. */
  get addresses(): Address[] {
    const configured = this.#configured.map((master) => [formatAddress(master), master] as const);
    return [...new Map([...configured, ...this.#learnt]).values()];
  }

  /** A master was heard of. */
  learn(master: Address): void {
    this.#learnt.set(formatAddress(master), master);
  }

  /** The primary tells which masters there are: others that were heard of are forgotten. */
  replace(masters: readonly Address[]): void {
    this.#learnt = new Map(masters.map((master) => [formatAddress(master), master]));
    this.#save(masters);
  }
}
