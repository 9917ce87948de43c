/**
 * Opening the files of logs, which may be compressed and may be replaced while they are followed.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError } from "../node/errors.ts";
import { LogFile, type Naming, type Period } from "./log_file.ts";

/** Programs that decompress their standard input, by extension. */
const DECOMPRESSORS: Readonly<Record<string, string>> = {
  ".gz": "gzip",
  ".bz2": "bzip2",
  ".xz": "xz",
  ".zst": "zstd",
};

/** How nodes without id are named: the name of the file, without folder and extensions. */
export function nameOfFile(path: string): string {
  const name = path.replace(/^.*\//, "");
  return name.replace(/(?<=.)\..*$/, "");
}

/**
 * Opens a log, of which a decompressed copy is made in the folder of temporary files if needed.
 *
 * @throws {ConfigError} if it is none.
 */
export async function openLogFile(path: string, naming: Naming, period: Period): Promise<LogFile> {
  await checkFile(path);
  const extension = /\.[^./]*$/.exec(path)?.[0] ?? "";
  const program = DECOMPRESSORS[extension];
  const name = nameOfFile(path);
  if (program === undefined) return new LogFile(path, name, naming, period);
  let copy;
  try {
    copy = await Deno.makeTempFile({ prefix: "neolog-" });
  } catch (error) {
    throw new ConfigError(`${path} can't be decompressed: ${errorText(error)}`);
  }
  try {
    await decompress(program, path, copy);
    return new LogFile(copy, name, naming, period);
  } catch (error) {
    throw new ConfigError(`${path}: ${errorText(error)}`);
  } finally {
    // What is open can still be read.
    await Deno.remove(copy);
  }
}

async function checkFile(path: string): Promise<void> {
  let info;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    throw new ConfigError(`can't open ${path}: ${errorText(error)}`);
  }
  if (!info.isFile) throw new ConfigError(`${path} is not a file`);
  if (info.size === 0) throw new ConfigError(`${path} is empty`);
}

async function decompress(program: string, path: string, copy: string): Promise<void> {
  let child;
  try {
    child = new Deno.Command(program, {
      args: ["-d", "-c"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    throw new Error(`the program ${program}, which decompresses it, can't be run`, {
      cause: error,
    });
  }
  const source = await Deno.open(path);
  const target = await Deno.open(copy, { write: true });
  const complaint = new Response(child.stderr).text();
  // When the program gives up, its status and what it says tell more than a broken pipe.
  await Promise.allSettled([
    source.readable.pipeTo(child.stdin),
    child.stdout.pipeTo(target.writable),
  ]);
  const { success } = await child.status;
  if (!success) throw new Error(`${program} failed: ${(await complaint).trim()}`);
}

/** The identity of what is now at a path, `null` if there is nothing. */
export async function fileIdentity(path: string): Promise<string | null> {
  try {
    const { dev, ino } = await Deno.stat(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}
