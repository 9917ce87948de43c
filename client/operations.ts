/**
 * What a transaction does, one thing after the other, until one fails.
 *
 * @module
 */

import { NEOPrimaryMasterLost, POSError, StorageTransactionError } from "./errors.ts";
import type { Session } from "./session.ts";
import { abortable, Changes } from "./waiting.ts";

const DONE = Promise.resolve();

/**
 * The operations of a transaction. Once one has failed, the transaction can only be aborted, and all
 * others fail for the same reason.
 */
export class Operations {
  readonly #session: Session;
  readonly #changes = new Changes();
  /** The last operation that was begun and is not over. */
  #tail: Promise<unknown> | null = null;
  #failure: Error | null = null;
  /** Aborts with the failure. */
  #failing: AbortController | null = null;
  /** Called when there is nothing left to do. */
  onIdle: () => void = () => {};

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether nothing is being done, and something may be. */
  get idle(): boolean {
    return this.#tail === null && this.#failure === null;
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  /**
   * Does something after what was begun before. Its failure is that of the transaction, and need not
   * be looked at: all later operations fail too.
   */
  run<T>(operate: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const operation = (this.#tail ?? DONE).catch(() => {}).then(async () => {
      try {
        this.check();
        return await operate();
      } catch (error) {
        // What failed first is the reason of what follows.
        const earlier = this.#failure;
        this.fail(error);
        throw earlier ?? error;
      } finally {
        if (this.#tail === operation) {
          this.#tail = null;
          if (this.idle) this.onIdle();
        }
      }
    });
    this.#tail = operation;
    const outcome = abortable(operation, signal);
    outcome.catch(() => {});
    return outcome;
  }

  /** The transaction can't be committed any more. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof POSError
      ? error
      : new StorageTransactionError("an operation of this transaction failed", { cause: error });
    this.#failing?.abort(this.#failure);
    this.changed();
  }

  /** @throws the reason why nothing can be done any more. */
  check(): void {
    if (!this.#session.open) this.fail(new NEOPrimaryMasterLost());
    if (this.#failure !== null) throw this.#failure;
  }

  /** Aborts when the transaction fails or the signal aborts. */
  signal(signal: AbortSignal | undefined): AbortSignal {
    if (this.#failing === null) {
      this.#failing = new AbortController();
      if (this.#failure !== null) this.#failing.abort(this.#failure);
    }
    const { signal: failed } = this.#failing;
    return signal === undefined ? failed : AbortSignal.any([failed, signal]);
  }

  /** The state that conditions are about has changed. */
  changed(): void {
    this.#changes.notify();
  }

  /** Waits for a condition, in an operation. Rejects with the failure of the transaction. */
  async until(reached: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    await this.#changes.until(() => this.#failure !== null || reached(), signal);
    if (this.#failure !== null) throw this.#failure;
  }
}
