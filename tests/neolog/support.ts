/** Logs to look at. */

import { DatabaseSync } from "node:sqlite";
import { LogLevel } from "../../network/log.ts";
import type { NeologOptions } from "../../neolog/options.ts";
import { showLogs } from "../../neolog/run.ts";
import { LogDatabase } from "../../node/log_database.ts";
import { neologProtocol } from "../../node/neolog_protocol.ts";
import { codecOf, encodeBody, type MessageArgs } from "../../protocol/codec.ts";
import type { MessageName } from "../../protocol/messages.ts";
import type { Nid } from "../../protocol/nodes.ts";

/** What `--help` says when nothing is given; without date, which depends on the time zone. */
export const DEFAULTS: NeologOptions = {
  all: false,
  decompress: false,
  color: false,
  date: "",
  follow: false,
  flush: [],
  sleepInterval: 0.01,
  node: [],
  from: null,
  to: null,
  message: [],
  tid: null,
  oid: null,
  cluster: false,
  noNid: false,
};

/** A folder of logs. */
export class Logs implements Disposable {
  readonly folder = Deno.makeTempDirSync();
  readonly complaints: string[] = [];

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /** Writes a log as a node does. */
  write(name: string, nid: Nid | null, say: (log: Writer) => void): void {
    const writer = new Writer(this.path(name), nid);
    say(writer);
    writer.close();
  }

  /** Makes a database by hand. */
  sql(name: string, sql: string): void {
    const db = new DatabaseSync(this.path(name));
    db.exec(sql);
    db.close();
  }

  async show(names: readonly string[], options: Partial<NeologOptions> = {}): Promise<string> {
    let output = "";
    await showLogs(names.map((name) => this.path(name)), { ...DEFAULTS, ...options }, {
      print: (text) => output += text,
      complain: (message) => this.complaints.push(message),
      flush: () => Promise.reject(new Error("unexpected")),
    });
    return output;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Writes a log at dates that are given. */
export class Writer {
  #now = 0;
  readonly #database: LogDatabase;

  constructor(path: string, nid: Nid | null) {
    this.#database = new LogDatabase(path, {
      now: () => this.#now,
      warn: (message) => {
        throw new Error(message);
      },
      protocol: neologProtocol,
      backlog: 1 << 20,
      maxSize: 0,
      keep: 0,
    });
    this.#database.identify({ name: null, cluster: "test", nid });
  }

  text(date: number, message: string, level = LogLevel.INFO): void {
    this.#now = date;
    this.#database.add(level, null, message);
  }

  message<N extends MessageName>(date: number, name: N, args: MessageArgs<N>, peer = "M1 (h:1)") {
    this.raw(date, codecOf(name).code, encodeBody(name, args), peer);
  }

  raw(date: number, code: number, body: Uint8Array, peer = "M1 (h:1)") {
    this.#now = date;
    this.#database.addPacket({ sent: true, id: 7, code, peer, body });
  }

  flush(): void {
    this.#database.flush();
  }

  reopen(): void {
    this.#database.reopen();
  }

  close(): void {
    this.#database.close();
  }
}
