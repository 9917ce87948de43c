import type { Oid } from "../protocol/ids.ts";
import type { RecordHeader } from "./format.ts";
import { RevisionIndex } from "./indexes.ts";
import type { ScanVisitor } from "./scan.ts";

/** Builds the {@linkcode RevisionIndex} of a file while it is scanned. */
export class RevisionIndexer implements ScanVisitor {
  readonly index = new RevisionIndex();
  /** Records of the current transaction: they do not link to each other but to earlier ones. */
  readonly #pending = new Map<Oid, number>();

  record(header: RecordHeader): void {
    const previous = this.index.last(header.oid);
    if (header.previous !== previous) this.index.correct(header.position, previous);
    this.#pending.set(header.oid, header.position);
  }

  transactionEnd(): void {
    for (const [oid, position] of this.#pending) this.index.set(oid, position);
    this.#pending.clear();
  }
}
