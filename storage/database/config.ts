/**
 * Table `config`: a few values with a name, kept in memory. Ids of transactions are in hexadecimal,
 * the other numbers in decimal.
 *
 * @module
 */

import { hexId, type Tid, toTid } from "../../protocol/ids.ts";
import { DatabaseError } from "./database.ts";
import { asText, type Engine, nullable, type Write, write } from "./sql.ts";

/** Names of values. `zodb` and `partitions` of other implementations and versions are left alone. */
export type ConfigName =
  | "version"
  | "name"
  | "nid"
  | "ptid"
  | "replicas"
  | "backup_tid"
  | "truncate_tid";

/** The values in memory; every change returns the write that saves it. */
export class Config {
  readonly #values = new Map<string, string>();

  /** Reads the table again. */
  async load(engine: Engine): Promise<void> {
    this.#values.clear();
    // `zodb`, if present, may be long and is not text.
    const rows = await engine.read("SELECT name, value FROM config WHERE name <> 'zodb'", []);
    for (const [name, value] of rows) {
      const text = nullable(value, asText);
      if (text !== null) this.#values.set(asText(name), text);
    }
  }

  /** Text of a value, `null` if it is not set. */
  text(name: ConfigName): string | null {
    return this.#values.get(name) ?? null;
  }

  /** Value of a decimal number, `null` if it is not set. */
  number(name: ConfigName): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const value = Number(text);
    if (!Number.isSafeInteger(value)) {
      throw new DatabaseError(`value '${text}' of '${name}' in table config is not a number`);
    }
    return value;
  }

  /** Value of a transaction id, `null` if it is not set. */
  tid(name: ConfigName): Tid | null {
    const text = this.text(name);
    if (text === null) return null;
    if (!/^[0-9a-f]{1,16}$/i.test(text)) {
      throw new DatabaseError(`value '${text}' of '${name}' in table config is not a tid`);
    }
    return toTid(BigInt(`0x${text}`));
  }

  /** Sets a value, or removes it. */
  set(name: ConfigName, value: string | number | null): Write {
    if (value === null) {
      this.#values.delete(name);
      return write("DELETE FROM config WHERE name = ?", name);
    }
    this.#values.set(name, String(value));
    return write("REPLACE INTO config VALUES (?, ?)", name, String(value));
  }

  /** Sets the id of a transaction, or removes it. */
  setTid(name: ConfigName, tid: Tid | null): Write {
    return this.set(name, tid === null ? null : hexId(tid));
  }
}
