/**
 * What the cells of this node may be used for.
 *
 * @module
 */

import { Refusal } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { type Oid, partitionOf, type Tid } from "../protocol/ids.ts";
import type { Database } from "./database/database.ts";
import type { OutdatedCells } from "./replication/outdated_cells.ts";

/** How writes to an object are accepted. */
export enum WriteMode {
  /** This node has no use for them. */
  NONE,
  /** Without check: the cell lacks data, other cells hold the lock. */
  LOCKLESS,
  /** With a lock and after a check for conflicts. */
  LOCKED,
}

/** The cells of one node. */
export class Cells {
  constructor(readonly database: Database, readonly outdated: OutdatedCells) {}

  /** The partition of an object or of a transaction. There must be a partition table. */
  partitionOf(id: Oid | Tid): number {
    return partitionOf(id, this.database.partitions);
  }

  /** @throws {Refusal} if the partition can't be read here: another node has to be asked. */
  checkReadable(partition: number): void {
    if (this.database.isReadable(partition)) return;
    throw new Refusal(
      ErrorCode.NON_READABLE_CELL,
      `partition ${partition} is not readable on this node`,
    );
  }

  /** How to accept a write to an object. */
  writeMode(oid: Oid): WriteMode {
    const partition = this.partitionOf(oid);
    if (this.outdated.acceptsAll(partition)) return WriteMode.LOCKLESS;
    if (this.database.isReadable(partition) || this.outdated.checks(partition)) {
      return WriteMode.LOCKED;
    }
    return WriteMode.NONE;
  }
}
