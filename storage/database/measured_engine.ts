/**
 * Measuring how long a database takes.
 *
 * @module
 */

import type { DatabaseOptions } from "./database.ts";
import type { Engine, Row, Value, Write } from "./sql.ts";

type OnCommit = NonNullable<DatabaseOptions["onCommit"]>;

/** An engine that tells how long its commits take. */
export class MeasuredEngine implements Engine {
  readonly #engine: Engine;
  readonly #onCommit: OnCommit;

  constructor(engine: Engine, onCommit: OnCommit) {
    this.#engine = engine;
    this.#onCommit = onCommit;
  }

  get dialect(): Engine["dialect"] {
    return this.#engine.dialect;
  }

  get eager(): boolean {
    return this.#engine.eager;
  }

  get onLost(): (error: Error) => void {
    return this.#engine.onLost;
  }

  set onLost(onLost: (error: Error) => void) {
    this.#engine.onLost = onLost;
  }

  read(sql: string, parameters: readonly Value[]): Promise<readonly Row[]> {
    return this.#engine.read(sql, parameters);
  }

  async commit(writes: readonly Write[], durable: boolean): Promise<void> {
    const start = performance.now();
    await this.#engine.commit(writes, durable);
    this.#onCommit((performance.now() - start) / 1000, writes.length, durable);
  }

  devicePath(): Promise<string[]> {
    return this.#engine.devicePath();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}
