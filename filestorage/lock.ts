import { FileStorageError } from "./errors.ts";

/**
 * The lock of a FileStorage opened for writing, the same as ZODB takes: an exclusive advisory lock
 * on `<path>.lock`, which contains the pid of its holder. The file is left behind; only the lock on
 * it means something, and it ends with the process.
 *
 * @throws {FileStorageError} if another process has the file open for writing.
 */
export function lockFileStorage(path: string): Deno.FsFile {
  const file = Deno.openSync(`${path}.lock`, { read: true, write: true, create: true });
  if (!file.tryLockSync(true)) {
    const holder = new TextDecoder().decode(readAll(file)).trim();
    file.close();
    throw new FileStorageError(
      `${path} is in use: ${path}.lock is locked` + (holder === "" ? "" : ` by process ${holder}`),
    );
  }
  file.truncateSync();
  file.writeSync(new TextEncoder().encode(` ${Deno.pid}\n`));
  return file;
}

/** Reads the start of a lock file: more than a pid is not expected there. */
function readAll(file: Deno.FsFile): Uint8Array {
  const bytes = new Uint8Array(64);
  return bytes.subarray(0, file.readSync(bytes) ?? 0);
}
