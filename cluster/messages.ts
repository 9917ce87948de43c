/**
 * What the main thread of a local cluster and its workers say to each other.
 *
 * @module
 */

import type { LogLevel } from "../network/log.ts";
import type { LogFormat } from "../node/console_log.ts";
import type { Address, Nid } from "../protocol/nodes.ts";

/** What a worker logs. */
export interface LogSpec {
  /** Least severity of the records shown on the console. */
  readonly level: LogLevel;
  /** Path of the log database without the name of the node, `null` for none. */
  readonly path: string | null;
  /** Bytes a log database may grow to, 0 meaning any. */
  readonly maxSize: number;
  /** Former log databases to keep then. */
  readonly keep: number;
  /** Form of the records on the console. */
  readonly format: LogFormat;
  /** Path of the control socket without the name of the node, `null` for none. */
  readonly control: string | null;
}

/** What a worker is started with. */
export type NodeSpec =
  & {
    readonly name: string;
    readonly cluster: string;
    readonly bind: Address;
    readonly log: LogSpec;
    /** Masters started before. */
    readonly masters: readonly Address[];
  }
  & (
    | {
      readonly type: "master";
      readonly partitions: number;
      readonly replicas: number;
      readonly storages: number;
    }
    | {
      readonly type: "storage";
      /** Id to ask for in a new cluster, else `null`. */
      readonly nid: Nid | null;
      readonly adapter: "SQLite" | "MySQL";
      readonly database: string;
    }
    | { readonly type: "admin" }
  );

/** To a worker. */
export type ToWorker = { readonly start: NodeSpec } | { readonly stop: true };

/** From a worker. */
export type FromWorker =
  | { readonly listening: Address }
  /** The exit status that a process would have had. */
  | { readonly ended: number };
