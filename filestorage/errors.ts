/** Errors of the FileStorage layer: each has a message meant for the person who runs the tool. */

/** A file that can not be used as asked: not a FileStorage, locked, read-only... */
export class FileStorageError extends Error {
  override readonly name: string = "FileStorageError";
}

/** Damage inside a file, at a known place. */
export class CorruptFileError extends FileStorageError {
  override readonly name = "CorruptFileError";

  constructor(
    /** The file. */
    readonly path: string,
    /** Byte offset of the damaged transaction or record. */
    readonly position: number,
    problem: string,
  ) {
    super(`${path} is corrupted at position ${position}: ${problem}`);
  }
}

/** A copy that is refused, or can not go on. */
export class CopyError extends Error {
  override readonly name = "CopyError";
}

/** A wrong command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
