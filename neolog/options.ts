/**
 * The options of the log viewer.
 *
 * @module
 */

import { ConfigError, InvalidValueError } from "../node/errors.ts";
import { flag, kind, seconds, texts } from "../node/option_kinds.ts";
import type { Program, ProgramOptions } from "../node/programs.ts";
import { checkDateFormat, parseMoment } from "./date_format.ts";

const moment = kind("DATE", (text) => parseMoment(text, Date.now() / 1000));
const dateFormat = kind("FORMAT", checkDateFormat);

/** An oid or a tid: 16 hexadecimal digits, or a number. */
const id = kind("ID", (text) => {
  if (/^[0-9a-f]{16}$/i.test(text)) return BigInt(`0x${text}`);
  if (!/^(0x[0-9a-f]{1,16}|\d{1,19})$/i.test(text)) {
    throw new InvalidValueError(`'${text}' is neither a number nor 16 hexadecimal digits`);
  }
  return BigInt(text);
});

const table = {
  all: flag({ short: "a", help: "show the arguments of messages" }),
  decompress: flag({ short: "A", help: "also decompress the data in them" }),
  color: flag({ short: "c", help: "colour lines by severity, instead of naming it" }),
  date: dateFormat({
    short: "d",
    default: "%F %T",
    help: "format of dates as in strftime, in local time; empty for no date",
  }),
  follow: flag({ short: "f", help: "go on with what is added to the logs" }),
  flush: texts({
    short: "F",
    metavar: "PID",
    help: "with -f, process to send SIGRTMIN to each time, so that it writes its log (repeatable)",
  }),
  sleepInterval: seconds({ short: "s", default: "1", help: "with -f, how long to wait each time" }),
  node: texts({
    short: "n",
    metavar: "NAME",
    help: "only show this node, named as in its column (repeatable); '-' hides the column",
  }),
  from: moment({
    help: "start there: seconds since 1970, relative to now if negative, or a date in local time",
  }),
  to: moment({ help: "end there" }),
  message: texts({
    short: "m",
    metavar: "NAME",
    help: "only show messages of this name; '*' stands for any letters (repeatable)",
  }),
  tid: id({ help: "only show what mentions this transaction" }),
  oid: id({ help: "only show what mentions this object" }),
  cluster: flag({ short: "C", help: "name nodes with their clusters, as test/S1" }),
  noNid: flag({ short: "N", help: "name nodes after the files of their logs" }),
};

/** The log viewer. */
export const neolog: Program<typeof table> = {
  name: "neolog",
  summary: "Shows the logs of NEO nodes, of this and other implementations, merged by date.\n" +
    "They may be compressed by gzip, bzip2, xz or zstd.",
  operands: "FILE…",
  options: table,
  check(options) {
    if (options.cluster && options.noNid) {
      throw new ConfigError("cluster and no-nid exclude each other");
    }
    if (options.sleepInterval <= 0) throw new ConfigError("sleep-interval must be more than zero");
    if (options.flush.length > 0 && !options.follow) throw new ConfigError("flush needs follow");
    const wrong = options.flush.find((pid) => !/^[1-9]\d*$/.test(pid));
    if (wrong !== undefined) throw new ConfigError(`flush: '${wrong}' is no process id`);
    return [];
  },
};

/** The values of the options. */
export type NeologOptions = ProgramOptions<typeof neolog>;
