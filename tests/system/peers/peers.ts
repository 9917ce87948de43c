/**
 * Runs the programs of this folder: nodes in Python that check what ours tell them.
 *
 * @module
 */

import { type Address, formatAddress } from "../../../protocol/nodes.ts";

const FOLDER = new URL(".", import.meta.url).pathname;

/** An event as a peer prints it: one line of JSON. */
export interface PeerEvent {
  readonly event: string;
  readonly [detail: string]: unknown;
}

function command(python: string, script: string, args: readonly (string | Address)[]) {
  return new Deno.Command(python, {
    args: [
      `${FOLDER}${script}`,
      ...args.map((arg) => typeof arg === "string" ? arg : formatAddress(arg)),
    ],
    env: { PYTHONDONTWRITEBYTECODE: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs a peer to its end, which has to be a success. */
export async function runPeer(
  python: string,
  script: string,
  ...args: (string | Address)[]
): Promise<void> {
  const { success, stdout, stderr } = await command(python, script, args).output();
  if (success) return;
  const decoder = new TextDecoder();
  throw new Error(`${script} failed:\n${decoder.decode(stdout)}\n${decoder.decode(stderr)}`);
}

/** A peer that lives until it is killed. */
export class LivingPeer implements AsyncDisposable {
  readonly events: PeerEvent[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<unknown>;
  #errors = "";
  #ended = false;

  constructor(python: string, readonly script: string, ...args: (string | Address)[]) {
    this.#child = command(python, script, args).spawn();
    this.#output = Promise.all([this.#readEvents(), this.#readErrors()]).then(() => {
      this.#ended = true;
    });
  }

  async #readEvents(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.events.push(JSON.parse(line));
    }
  }

  async #readErrors(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.#errors += text;
    }
  }

  /** Whether it said something; throws if it complained, or ended without having said it. */
  said(event: string): boolean {
    this.check();
    if (this.events.some((other) => other.event === event)) return true;
    if (this.#ended) throw new Error(`${this.script} ended without saying "${event}"`);
    return false;
  }

  /** Throws if it complained. */
  check(): void {
    const complaint = this.events.find(({ event }) => event === "violation");
    if (complaint === undefined && this.#errors === "") return;
    throw new Error(`${this.script}: ${JSON.stringify(complaint)}\n${this.#errors}`);
  }

  /** All it said. */
  toString(): string {
    return `--- ${this.script}\n${JSON.stringify(this.events)}\n${this.#errors}`;
  }

  /** The end, at once. */
  async kill(): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
