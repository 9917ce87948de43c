/**
 * Connections between nodes, and what carries them.
 *
 * @module
 */

export * from "./connection.ts";
export * from "./environment.ts";
export * from "./handler.ts";
export * from "./log.ts";
export * from "./memory.ts";
export * from "./real.ts";
export * from "./server.ts";
export * from "./tls.ts";
export * from "./transport.ts";
