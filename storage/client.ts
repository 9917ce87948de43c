/**
 * What the node keeps for a client that is connected.
 *
 * @module
 */

import type { Flow } from "./flow.ts";
import type { TransactionOwner } from "./transaction.ts";

/** One connection of a client. */
export interface Client extends TransactionOwner {
  readonly flow: Flow;
}
