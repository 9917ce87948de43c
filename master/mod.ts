/**
 * The master node.
 *
 * @module
 */

export { Master } from "./master.ts";
export type { MasterOptions } from "./cluster.ts";
