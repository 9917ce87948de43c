/**
 * Reading, writing, checking and copying the files of ZODB's FileStorage.
 *
 * @module
 */

export { isBlobRecord } from "./blobs.ts";
export * from "./copy.ts";
export * from "./errors.ts";
export { compareFiles, type FileComparison, type FileDifference } from "./file_comparison.ts";
export { FileDestination } from "./file_destination.ts";
export { FileSource } from "./file_source.ts";
export { NeoDestination } from "./neo_destination.ts";
export { NeoSource } from "./neo_source.ts";
export { type Magic, MAGICS } from "./format.ts";
export { FileStorageReader, type FileTransaction, type Revision } from "./reader.ts";
export { checkStructure, type StructureProblem } from "./structure.ts";
export {
  type CompareOptions,
  compareTransactions,
  type Comparison,
  type Difference,
  formatDifference,
} from "./verify.ts";
export { findReferences, UndecodableRecordError } from "./references.ts";
export { FileStorageWriter, type WriterOptions } from "./writer.ts";
