/**
 * What a secondary master answers to whoever connects.
 *
 * @module
 */

import { type Handlers, type Notification, Refusal } from "../network/handler.ts";
import { ErrorCode, NodeType } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { formatAddress, sameAddress } from "../protocol/nodes.ts";
import { candidacyOf, defects, directions, type Following } from "./election.ts";
import type { MasterContext, Role } from "./role.ts";
import { learnMasters, masterAddresses } from "./role.ts";

/** Sends everybody to the primary master. */
export class Redirection implements Handlers<"RequestIdentification"> {
  readonly #context: MasterContext;
  readonly #role: Pick<Role, "nodes">;
  readonly #following: () => Following;

  constructor(
    context: MasterContext,
    role: Pick<Role, "nodes">,
    following: () => Following,
  ) {
    this.#context = context;
    this.#role = role;
    this.#following = following;
  }

  requestIdentification(
    args: ArgsOf<"RequestIdentification">,
    { connection }: Notification,
  ): void {
    const { type, address, cluster } = args;
    const context = this.#context;
    const { nodes } = this.#role;
    const following = this.#following();
    if (cluster !== context.options.cluster) {
      throw new Refusal(ErrorCode.PROTOCOL_ERROR, `invalid cluster name '${cluster}'`);
    }
    if (address !== null && sameAddress(address, context.address)) {
      const text = `address conflict: ${formatAddress(address)} is this master's`;
      throw new Refusal(ErrorCode.PROTOCOL_ERROR, text);
    }
    if (type === NodeType.MASTER) {
      const candidacy = candidacyOf(args);
      if (candidacy !== null && defects(following, candidacy)) {
        context.env.log.info(`${formatAddress(candidacy.address)} runs for primary: following it`);
        context.limiter.waive(candidacy.address);
        return context.follow(candidacy.address, null);
      }
      if (address !== null && !following.accepted && learnMasters(nodes, [address])) {
        context.mastersChanged();
      }
    }
    connection.notify("NotPrimaryMaster", directions(following, masterAddresses(nodes), address));
    connection.abort();
  }
}
