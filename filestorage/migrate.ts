/**
 * What the migration tool does, apart from being a process.
 *
 * @module
 */

import type { Log } from "../network/log.ts";
import { hexId, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { ClusterAddress, PathAddress } from "./addresses.ts";
import { connectCluster } from "./cluster_end.ts";
import { copyTransactions } from "./copy.ts";
import type { TransactionDestination, TransactionSource } from "./endpoints.ts";
import { FileDestination } from "./file_destination.ts";
import { FileSource } from "./file_source.ts";
import { NeoDestination } from "./neo_destination.ts";
import { NeoSource } from "./neo_source.ts";
import { ExitCode, type MigrateOptions } from "./options.ts";
import { formatDuration, formatSize, type Progress } from "./progress.ts";
import { withDistinctOids } from "./repeated_oids.ts";
import { compareTransactions, formatDifference } from "./verify.ts";

/** What a migration needs of the process it runs in. */
export interface MigrateContext {
  readonly log: Log;
  readonly progress: Progress;
  /** Stops between two transactions. */
  readonly signal: AbortSignal;
  /** Shows a line of the result. */
  readonly print: (line: string) => void;
  /** Milliseconds, from any origin. */
  readonly now: () => number;
}

/**
 * Copies, and compares, as the options say.
 *
 * @returns the exit status.
 * @throws {CopyError | FileStorageError | POSError | ConfigError} with a message for the person who
 * runs the tool.
 */
export async function migrate(options: MigrateOptions, context: MigrateContext): Promise<number> {
  const migration = new Migration(options, context);
  if (options.copy) await migration.copy();
  return options.verify ? await migration.verify() : ExitCode.OK;
}

class Migration {
  readonly #options: MigrateOptions;
  readonly #context: MigrateContext;
  /** Warnings about a source are shown once, though it may be opened twice. */
  readonly #warned = new Set<string>();

  constructor(options: MigrateOptions, context: MigrateContext) {
    this.#options = options;
    this.#context = context;
  }

  async copy(): Promise<void> {
    const { from, to, withoutBlobs } = this.#options;
    const { progress, signal, now } = this.#context;
    const source = await this.#openSource(this.#options.source);
    let destination: TransactionDestination | null = null;
    let tid: Tid = ZERO_TID;
    const start = now();
    try {
      destination = await this.#openDestination(source);
      const summary = await copyTransactions(source, destination, {
        ...from !== undefined && { from },
        ...to !== undefined && { to },
        withoutBlobs,
        signal,
        onStart: (total, firstTid, lastTid) => progress.start(total, firstTid, lastTid),
        onProgress: (done) => {
          tid = done.tid;
          progress.update(done);
        },
        onWarning: (message) => progress.warn(message),
      });
      progress.end();
      this.#tellCopied(summary, (now() - start) / 1000);
    } catch (error) {
      progress.end();
      if (tid !== ZERO_TID) {
        progress.warn(
          `stopped near transaction ${hexId(tid)}: ` +
            "to continue, run the same command again once the cause is gone",
        );
      }
      throw error;
    } finally {
      await Promise.all([source.close(), destination?.close()]);
    }
  }

  #tellCopied(
    { transactions, records, bytes, resumedAfter }: Awaited<ReturnType<typeof copyTransactions>>,
    seconds: number,
  ): void {
    const per = (amount: number) => amount / Math.max(seconds, 1e-3);
    this.#context.print(
      `copied ${transactions} transactions, ${records} records, ${formatSize(bytes)} ` +
        `in ${formatDuration(seconds)} (${formatSize(per(bytes))}/s, ` +
        `${Math.round(per(transactions))} transactions/s)` +
        (resumedAfter === ZERO_TID ? "" : `, continuing after ${hexId(resumedAfter)}`),
    );
  }

  /** Compares the ends, in what copying keeps. */
  async verify(): Promise<number> {
    const { from, to, source, destination, ...options } = this.#options;
    const { progress, signal, print } = this.#context;
    const left = await this.#openSource(source);
    let right: TransactionSource | null = null;
    try {
      right = await this.#openSource(destination);
      // Nothing can have been copied that a cluster has no place for.
      const toCluster = destination.kind === "cluster";
      const repeated = toCluster && left.repeatsOids;
      const transactions = left.transactions(from, to);
      progress.start(await left.measure(from, to), from ?? ZERO_TID, await left.lastTid());
      let compared = 0;
      const comparison = await compareTransactions(
        repeated ? withDistinctOids(transactions) : transactions,
        right.transactions(from, to),
        {
          ignoreStatus: options.ignoreStatus || toCluster,
          // A hint at what was not copied was not copied either.
          ignoreDataTid: options.ignoreDataTid || repeated || from !== undefined,
          ignoreOrder: options.ignoreOrder,
          onTransaction: (tid) => {
            signal.throwIfAborted();
            progress.update({ transactions: ++compared, tid });
          },
        },
      );
      progress.end();
      for (const difference of comparison.first) print(formatDifference(difference));
      const sides = `left: ${left.describe()}, right: ${right.describe()}`;
      print(
        `compared ${comparison.transactions} transactions, ${comparison.records} records: ` +
          (comparison.differences === 0
            ? "no difference"
            : `${comparison.differences} differences (${sides})`),
      );
      return comparison.differences === 0 ? ExitCode.OK : ExitCode.FAILED;
    } finally {
      progress.end();
      await Promise.all([left.close(), right?.close()]);
    }
  }

  async #openSource(address: PathAddress | ClusterAddress): Promise<TransactionSource> {
    const { signal } = this.#context;
    if (address.kind === "cluster") {
      return new NeoSource(await this.#connect(address, true), signal);
    }
    const source = await FileSource.open(address.path);
    const { path, warnings, ignoredBytes, ignoredReason } = source.reader;
    for (const warning of warnings) this.#warnOnce(`${path}: ${warning}`);
    if (ignoredReason !== null) {
      this.#warnOnce(`${path}: the last ${ignoredBytes} bytes are ignored: ${ignoredReason}`);
    }
    return source;
  }

  async #openDestination(source: TransactionSource): Promise<TransactionDestination> {
    const { destination } = this.#options;
    const { signal } = this.#context;
    if (destination.kind === "cluster") {
      return new NeoDestination(await this.#connect(destination, false), signal);
    }
    const magic = this.#options.magic ??
      (source instanceof FileSource ? source.reader.magic : undefined);
    return await FileDestination.open(destination.path, magic === undefined ? {} : { magic });
  }

  #connect(address: ClusterAddress, readOnly: boolean) {
    const { log, signal, progress } = this.#context;
    const onWaiting = (message: string) => progress.warn(message);
    return connectCluster(address, { readOnly, log, signal, onWaiting });
  }

  #warnOnce(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    this.#context.progress.warn(message);
  }
}
