/**
 * The storage node: keeps the partitions that the master assigns to it in its database.
 *
 * @module
 */

export { Storage, type StorageOptions } from "./storage.ts";
