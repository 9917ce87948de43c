/**
 * Asking storage nodes for what they store: which one, and what to do when it fails.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import { ConnectionClosed } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import type { Oid, Tid } from "../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf, RequestName } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import { fromAnswer } from "./answers.ts";
import { NEOStorageError } from "./errors.ts";
import type { PrimaryLink } from "./primary_link.ts";
import type { Session } from "./session.ts";
import type { StorageLinks } from "./storage_links.ts";

/** Something to ask to any node that has a readable cell of a partition. */
export interface Read<N extends RequestName, T> {
  /** What the partition is that of. */
  readonly partition: Oid | Tid | { readonly number: number };
  readonly name: N;
  readonly args: ArgsOf<N>;
  /**
   * Called at the place of the answer.
   *
   * @throws {BadAnswer} to ask another node.
   */
  readonly decode: (answer: AnswerArgsOf<N>) => T;
  /** Errors that another replica may not give. */
  readonly retryOn?: ErrorCode;
  /** Nodes that must not be asked. */
  readonly excludes?: (nid: Nid) => boolean;
  /** Stops retrying. Read when it is needed only. */
  readonly signal?: AbortSignal | undefined;
}

/** An answer that can't be used, though another replica may have a better one. */
export class BadAnswer extends Error {
  override readonly name = "BadAnswer";

  /** The error to throw if no replica has a better one. */
  constructor(readonly error: Error) {
    super(error.message);
  }
}

/** How a node answered, when it did not give what was asked for. */
const enum Failure {
  /** The cell can't be read any more: the table is about to change, nobody failed. */
  NOT_READABLE,
  FAILED,
}

type Outcome<T> = { readonly value: T } | { readonly failure: Failure; readonly reason: Error };

/** Asks storage nodes. */
export class Reads {
  readonly #env: Environment;
  readonly #primary: PrimaryLink;
  readonly #storages: StorageLinks;

  constructor(env: Environment, primary: PrimaryLink, storages: StorageLinks) {
    this.#env = env;
    this.#primary = primary;
    this.#storages = storages;
  }

  /**
   * Asks until a node answers. The loss of the master is waited out; each node that should be able to
   * answer is tried at least once, and once more after the master had a chance to tell what changed.
   *
   * @throws {NEOStorageError} if no node can answer, or what `BadAnswer` says.
   * @throws what an error answer stands for.
   */
  read<N extends RequestName, T>(read: Read<N, T>): Promise<T> {
    const { session } = this.#primary;
    const connection = session === null ? null : this.#firstOpen(session, read);
    if (connection === null) return this.#readPatiently(read);
    return new Promise((resolve, reject) =>
      this.#send(connection, read, (outcome) => {
        if ("value" in outcome) resolve(outcome.value);
        else resolve(this.#readPatiently(read));
      }, reject)
    );
  }

  /** The usual case: the node of choice is connected. */
  #firstOpen<N extends RequestName, T>(session: Session, read: Read<N, T>): Connection | null {
    const cells = this.#order(session, read);
    return cells[0] === undefined ? null : this.#storages.get(cells[0]);
  }

  #send<N extends RequestName, T>(
    connection: Connection,
    read: Read<N, T>,
    resolve: (outcome: Outcome<T>) => void,
    reject: (error: unknown) => void,
  ): void {
    connection.request(
      read.name,
      read.args,
      (answer) => {
        try {
          resolve({ value: read.decode(answer) });
        } catch (error) {
          if (error instanceof BadAnswer) resolve({ failure: Failure.FAILED, reason: error.error });
          else reject(error);
        }
      },
      (error) => {
        if (error instanceof ConnectionClosed) resolve({ failure: Failure.FAILED, reason: error });
        else if (error.code === ErrorCode.NON_READABLE_CELL) {
          resolve({ failure: Failure.NOT_READABLE, reason: error });
        } else if (error.code === read.retryOn) {
          resolve({ failure: Failure.FAILED, reason: error });
        } else reject(fromAnswer(error));
      },
    );
  }

  async #readPatiently<N extends RequestName, T>(read: Read<N, T>): Promise<T> {
    const { signal } = read;
    let last: Session | null = null;
    let failed = 0;
    let reason: Error | null = null;
    for (;;) {
      signal?.throwIfAborted();
      const session = await this.#primary.ready(signal);
      if (session !== last) failed = 0;
      last = session;
      const cells = this.#order(session, read);
      for (const nid of cells) {
        const connection = await this.#storages.connect(nid, session, signal);
        if (connection === null) {
          failed++;
          continue;
        }
        const outcome = await this.#ask(connection, read, signal);
        if ("value" in outcome) return outcome.value;
        if (outcome.failure === Failure.NOT_READABLE) continue;
        failed++;
        if (!(outcome.reason instanceof ConnectionClosed)) reason = outcome.reason;
      }
      if (!session.open) continue;
      // Without exclusions, a partition is only without readable cell until the table changes.
      if (failed > cells.length || cells.length === 0 && read.excludes !== undefined) {
        if (reason !== null) throw fromAnswer(reason);
        throw new NEOStorageError("no storage node can answer: all replicas failed");
      }
      // Avoids a tight loop, and lets changes of the partition table arrive.
      await this.#primary.sync(signal);
    }
  }

  #ask<N extends RequestName, T>(
    connection: Connection,
    read: Read<N, T>,
    signal: AbortSignal | undefined,
  ): Promise<Outcome<T>> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      const settled = () => signal?.removeEventListener("abort", onAbort);
      this.#send(connection, read, (outcome) => {
        settled();
        resolve(outcome);
      }, (error) => {
        settled();
        reject(error);
      });
    });
  }

  /**
   * The nodes to ask, best first: those that did not fail lately, at random, the less busy one of the
   * first two before the other; then the others, those that failed the longest time ago first.
   */
  #order<N extends RequestName, T>(
    session: Session,
    { partition: of, excludes }: Read<N, T>,
  ): Nid[] {
    const partition = typeof of === "bigint" ? session.partitionOf(of) : of.number;
    const preferred: Nid[] = [];
    const avoided: [number, Nid][] = [];
    for (const { nid } of session.table.readableCells(partition)) {
      if (excludes?.(nid)) continue;
      const until = this.#storages.excludedUntil(nid);
      if (until > 0) avoided.push([until, nid]);
      else preferred.push(nid);
    }
    this.#shuffle(preferred);
    const [first, second] = preferred;
    if (first !== undefined && second !== undefined && this.#load(second) < this.#load(first)) {
      preferred[0] = second;
      preferred[1] = first;
    }
    avoided.sort(([a], [b]) => a - b);
    for (const [, nid] of avoided) preferred.push(nid);
    return preferred;
  }

  #shuffle(nids: Nid[]): void {
    for (let i = nids.length - 1; i > 0; i--) {
      const j = Math.floor(this.#env.random() * (i + 1));
      const a = nids[i];
      const b = nids[j];
      if (a === undefined || b === undefined) return;
      nids[i] = b;
      nids[j] = a;
    }
  }

  #load(nid: Nid): number {
    return this.#storages.get(nid)?.pendingRequests ?? 0;
  }
}
