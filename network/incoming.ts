/**
 * A received message, as its handler sees it.
 *
 * @module
 */

import { answerCode, codecOf, codecOfCode, type MessageCodec } from "../protocol/codec.ts";
import type { ErrorCode } from "../protocol/enums.ts";
import type { Connection } from "./connection.ts";

/** Arguments of a message whose types are only known at run time. */
export type Args = Readonly<Record<string, unknown>>;

/** Sends an answer, unless the connection is closed. */
export type SendAnswer = (codec: MessageCodec, id: number, args: Args) => void;

/** A received message, and the way to answer it. Its static type is `Received` of handler.ts. */
export class Incoming {
  readonly #codec: MessageCodec;
  readonly #send: SendAnswer;

  constructor(
    readonly connection: Connection,
    readonly id: number,
    codec: MessageCodec,
    send: SendAnswer,
  ) {
    this.#codec = codec;
    this.#send = send;
  }

  answer(args: Args): void {
    const codec = codecOfCode(answerCode(this.#codec));
    if (codec === undefined) throw new TypeError(`${this.#codec.name} has no answer`);
    this.#send(codec, this.id, args);
  }

  error(code: ErrorCode, message = ""): void {
    this.#send(codecOf("Error"), this.id, { code, message });
  }
}
