/**
 * Command line of the migration tool.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type Tid, tidFromTime, toTid } from "../protocol/ids.ts";
import { type ClusterAddress, parseEnd, type PathAddress, type TlsFiles } from "./addresses.ts";
import { UsageError } from "./errors.ts";
import { type Magic, MAGICS } from "./format.ts";

/** Exit statuses of the tool. */
export const ExitCode = {
  OK: 0,
  /** It could not be done, or verification found differences. */
  FAILED: 1,
  /** The command line is wrong. */
  USAGE: 2,
} as const;

/** Text of `--help`. */
export const HELP = `\
Usage: migrate [options] SOURCE DESTINATION

Copies the transactions of a ZODB database, with all their history, between a FileStorage
and a NEO cluster, in either direction (or between two of a kind). SOURCE is never changed.

SOURCE and DESTINATION are each one of:
  PATH                                 a Data.fs
  neo://NAME@HOST:PORT[,HOST:PORT...]  a NEO cluster and its masters (neos:// with TLS)
  "HOST:PORT [HOST:PORT...]"           the masters of the cluster given by -c

DESTINATION must be empty, or hold the beginning of SOURCE: then the copy continues, so that
an interrupted copy is finished by running the same command again. While copying into a
cluster, nobody else may commit to it.

Options:
  -c, --cluster NAME   name of the NEO cluster
      --from TID       first transaction to copy: 16 hexadecimal digits, or a date such as
                       2026-01-31 or 2026-01-31T12:00:00Z
      --to TID         last transaction to copy
      --verify         compare SOURCE and DESTINATION after copying
      --verify-only    compare, do not copy
      --ignore WHAT    what not to compare, any of: status (packed or not), hints (with which
                       revision data is shared), order (of the records in a transaction);
                       separate several by commas
      --magic MAGIC    start of a new Data.fs: FS30, or FS21 for pickles of Python 2;
                       by default the same as a source file, else FS30
      --without-blobs  copy the records of blobs without their contents; otherwise refused
      --ca FILE        authority certificate for TLS; --cert and --key are needed too
      --cert FILE      certificate of this program
      --key FILE       its private key
  -l, --logfile FILE   write a log to FILE
  -q, --quiet          show only warnings and errors
  -h, --help           show this help

Exit status: 0 if all went well, 1 if it did not or a comparison found differences,
2 if the command line is wrong.
`;

/** What the command line asks for. */
export interface MigrateOptions {
  readonly source: PathAddress | ClusterAddress;
  readonly destination: PathAddress | ClusterAddress;
  readonly from: Tid | undefined;
  readonly to: Tid | undefined;
  readonly copy: boolean;
  readonly verify: boolean;
  readonly ignoreStatus: boolean;
  readonly ignoreDataTid: boolean;
  readonly ignoreOrder: boolean;
  readonly magic: Magic | undefined;
  readonly withoutBlobs: boolean;
  readonly logfile: string | undefined;
  readonly quiet: boolean;
}

/**
 * Parses the arguments of the tool.
 *
 * @param args without the names of the interpreter and the program.
 * @param env gives environment variables: `HOME` for paths, `NEO_CA`, `NEO_CERT` and `NEO_KEY` for
 * `neos://`.
 * @returns `"help"` if help is asked for.
 * @throws {UsageError} if they are wrong.
 */
export function parseArguments(
  args: string[],
  env: (name: string) => string | undefined = () => undefined,
): MigrateOptions | "help" {
  const { values, positionals } = parse(args);
  if (values.help) return "help";
  const [sourceText, destinationText, ...rest] = positionals;
  if (sourceText === undefined || destinationText === undefined || rest.length > 0) {
    throw new UsageError(
      `SOURCE and DESTINATION are expected, not ${positionals.length} arguments`,
    );
  }
  const context = { cluster: values.cluster, tls: tlsFiles(values), env };
  const source = parseEnd(sourceText, context);
  const destination = parseEnd(destinationText, context);
  checkEnds(source, destination, values);
  const ignored = ignoredParts(values.ignore);
  const [from, to] = [parseTid("--from", values.from), parseTid("--to", values.to)];
  if (from !== undefined && to !== undefined && from > to) {
    throw new UsageError("--from is after --to");
  }
  return {
    source,
    destination,
    from,
    to,
    copy: !values["verify-only"],
    verify: values.verify || values["verify-only"],
    ignoreStatus: ignored.has("status"),
    ignoreDataTid: ignored.has("hints"),
    ignoreOrder: ignored.has("order"),
    magic: parseMagic(values.magic),
    withoutBlobs: values["without-blobs"],
    logfile: values.logfile,
    quiet: values.quiet,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        cluster: { type: "string", short: "c" },
        from: { type: "string" },
        to: { type: "string" },
        verify: { type: "boolean", default: false },
        "verify-only": { type: "boolean", default: false },
        ignore: { type: "string", multiple: true, default: [] },
        magic: { type: "string" },
        "without-blobs": { type: "boolean", default: false },
        ca: { type: "string" },
        cert: { type: "string" },
        key: { type: "string" },
        logfile: { type: "string", short: "l" },
        quiet: { type: "boolean", short: "q", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function tlsFiles({ ca, cert, key }: Partial<TlsFiles>): TlsFiles | null {
  if (!ca && !cert && !key) return null;
  if (!ca || !cert || !key) throw new UsageError("--ca, --cert and --key must be given together");
  return { ca, cert, key };
}

function checkEnds(
  source: PathAddress | ClusterAddress,
  destination: PathAddress | ClusterAddress,
  { cluster, magic }: { cluster?: string | undefined; magic?: string | undefined },
): void {
  const same = source.kind === "file"
    ? destination.kind === "file" && destination.path === source.path
    : destination.kind === "cluster" && destination.name === source.name &&
      destination.masters.join() === source.masters.join();
  if (same) throw new UsageError("SOURCE and DESTINATION are the same");
  if (cluster !== undefined && source.kind === "file" && destination.kind === "file") {
    throw new UsageError(
      '--cluster is given, but neither SOURCE nor DESTINATION is a list of masters such as "host:port"',
    );
  }
  if (magic !== undefined && destination.kind !== "file") {
    throw new UsageError("--magic is for a DESTINATION that is a Data.fs");
  }
}

const PARTS = ["status", "hints", "order"];

function ignoredParts(values: readonly string[]): ReadonlySet<string> {
  const parts = values.flatMap((value) => value.split(","));
  for (const part of parts) {
    if (!PARTS.includes(part)) {
      throw new UsageError(`--ignore takes ${PARTS.join(", ")}, not "${part}"`);
    }
  }
  return new Set(parts);
}

function parseMagic(value: string | undefined): Magic | undefined {
  const magic = MAGICS.find((magic) => magic === value);
  if (value !== undefined && magic === undefined) {
    throw new UsageError(`--magic takes ${MAGICS.join(" or ")}, not "${value}"`);
  }
  return magic;
}

function parseTid(option: string, value: string | undefined): Tid | undefined {
  if (value === undefined) return undefined;
  if (/^[0-9a-f]{16}$/i.test(value)) return toTid(BigInt(`0x${value}`));
  const time = /^\d{4}-\d\d-\d\d/.test(value) ? parseDate(value) : NaN;
  if (Number.isNaN(time)) {
    throw new UsageError(
      `${option} takes a tid of 16 hexadecimal digits, or a date such as 2026-01-31T12:00:00Z, ` +
        `not "${value}"`,
    );
  }
  return tidFromTime(time / 1000);
}

/** Milliseconds since the Unix epoch. Without a time zone, it is UTC, like in tids. */
function parseDate(value: string): number {
  const zoned = /^\d{4}-\d\d-\d\d$|(Z|[+-]\d\d:?\d\d)$/i.test(value);
  return Date.parse(zoned ? value : `${value}Z`);
}
