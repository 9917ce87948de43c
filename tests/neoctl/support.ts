/**
 * `neoctl` and an admin in a network of memory.
 *
 * @module
 */

import { type Outcome, runCommand, type RunOptions } from "../../neoctl/run.ts";
import type { Environment } from "../../network/environment.ts";
import { silentLog } from "../../network/log.ts";
import { MemoryNetwork } from "../../network/memory.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { type Received, type Script, ScriptedPeer } from "../admin/scripted_peer.ts";
import { ADMIN, ManualClock } from "../admin/support.ts";
import { NODES } from "./samples.ts";

/** Answers the same each time. */
export const answer = (args: object) => (message: Received) => message.answer(args);
/** Answers with an error. */
export const error = (code: ErrorCode, text: string) => (message: Received) =>
  message.error(code, text);
/** Answers that an order is carried out. */
export const ack = (text: string) => error(ErrorCode.ACK, text);

/** Answers with the nodes asked for. */
export function nodeList({ args, answer }: Received): void {
  answer({ nodes: NODES.filter(({ type }) => args.type === null || type === args.type) });
}

/** An admin that does what the test says, and `neoctl`. */
export class Setup {
  readonly clock = new ManualClock();
  readonly admin: ScriptedPeer;
  readonly env: Environment;

  constructor(script: Script) {
    this.admin = new ScriptedPeer(script);
    const network = new MemoryNetwork(this.clock.environment);
    this.env = { ...this.clock.environment, ...network.host(ADMIN.host), log: silentLog };
  }

  run(
    command: string,
    timeout: number | null = null,
    options: Pick<RunOptions, "json" | "wait"> = {},
  ): Promise<Outcome> {
    const words = command.split(" ").filter(Boolean);
    return runCommand(this.env, { address: ADMIN, timeout, ...options }, words);
  }

  /** Names and arguments of what the admin received. */
  get sent(): unknown[] {
    return this.admin.received.map(({ name, args }) => [name, args]);
  }
}

/** An admin that listens. */
export async function setup(script: Script): Promise<Setup> {
  const setup = new Setup(script);
  await setup.admin.listen(setup.env, ADMIN);
  return setup;
}
