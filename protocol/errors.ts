/**
 * Errors of the protocol module.
 *
 * @module
 */

/** A stream or a message breaks the rules of the protocol. It costs the peer its connection. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}
