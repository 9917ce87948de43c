/**
 * NEO: a distributed, redundant, transactional storage of objects. What programs import: the client.
 *
 * @module
 */

export * from "./client/mod.ts";
