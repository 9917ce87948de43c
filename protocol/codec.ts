/**
 * Messages to and from bytes.
 *
 * @module
 */

import { ErrorCode } from "./enums.ts";
import { ProtocolError } from "./errors.ts";
import { Input } from "./input.ts";
import {
  type AnswerArgsOf,
  type AnswerName,
  type ArgsOf,
  ERROR,
  type MessageName,
  MESSAGES,
  type OnClosed,
  type RequestName,
  type SentName,
} from "./messages.ts";
import { Output } from "./output.ts";
import type { Fields, Type } from "./types.ts";

/** What both sides send first: MessagePack of `["NEO", 5]`. */
export const HANDSHAKE: Uint8Array = Uint8Array.of(0x92, 0xa3, 0x4e, 0x45, 0x4f, 0x05);

/** Bit of the codes of answers. */
export const ANSWER_BIT = 0x8000;

/** What the codec knows of one message. */
export interface MessageCodec {
  readonly name: MessageName;
  readonly code: number;
  readonly kind: "request" | "command" | "notification" | "answer";
  readonly onClosed: OnClosed;
  readonly fields: readonly (readonly [string, Type<unknown>])[];
  /** Name of the method of a handler that receives the message. */
  readonly method: string;
}

/** A decoded message. */
export interface Message {
  readonly id: number;
  readonly codec: MessageCodec;
  /** By name; their types are those of the table of messages. */
  readonly args: Readonly<Record<string, unknown>>;
}

const byCode = new Map<number, MessageCodec>();
const byName = new Map<string, MessageCodec>();

function register(
  name: MessageName,
  code: number,
  kind: MessageCodec["kind"],
  onClosed: OnClosed,
  args: Fields,
) {
  const method = name.charAt(0).toLowerCase() + name.slice(1);
  const codec: MessageCodec = { name, code, kind, onClosed, fields: Object.entries(args), method };
  byCode.set(code, codec);
  byName.set(name, codec);
}

register("Error", ERROR.code, "answer", "keep", ERROR.args);
for (const [name, definition] of Object.entries(MESSAGES)) {
  register(
    name as SentName,
    definition.code,
    definition.kind,
    definition.onClosed,
    definition.args,
  );
  if (definition.kind === "request") {
    const { answer, answerArgs, code } = definition;
    register(answer, code | ANSWER_BIT, "answer", "keep", answerArgs);
  }
}

/** The codec of a message code, `undefined` for a code that does not exist. */
export function codecOfCode(code: number): MessageCodec | undefined {
  return byCode.get(code);
}

/** The codec of a message name. */
export function codecOf(name: MessageName): MessageCodec {
  const codec = byName.get(name);
  if (codec === undefined) throw new TypeError(`unknown message ${name}`);
  return codec;
}

/** All codecs, by increasing code. */
export function allCodecs(): MessageCodec[] {
  return [...byCode.values()].sort((a, b) => a.code - b.code);
}

/** The code of the answer to a request; commands are answered by `Error`. */
export function answerCode(codec: MessageCodec): number {
  return codec.kind === "request" ? codec.code | ANSWER_BIT : ERROR.code;
}

/**
 * Appends a message whose types are only known at run time.
 *
 * @throws {ProtocolError} if an argument can't be encoded; nothing of the message is kept then.
 */
export function writeMessage(
  output: Output,
  codec: MessageCodec,
  id: number,
  args: Readonly<Record<string, unknown>>,
): void {
  output.begin();
  try {
    output.array(3);
    output.int(id);
    output.int(codec.code);
    writeArguments(output, codec, args);
  } catch (error) {
    output.rollback();
    throw error;
  }
}

/** Appends the array of arguments of a message. */
export function writeArguments(
  output: Output,
  codec: MessageCodec,
  args: Readonly<Record<string, unknown>>,
): void {
  output.array(codec.fields.length);
  for (const [name, type] of codec.fields) type.write(output, args[name]);
}

/** Arguments of any message. */
export type MessageArgs<N extends MessageName> = N extends SentName ? ArgsOf<N>
  : N extends "Error" ? { readonly code: ErrorCode; readonly message: string }
  : N extends AnswerName ? AnswerArgsByName[N]
  : never;

type AnswerArgsByName = {
  [R in RequestName as (typeof MESSAGES)[R]["answer"]]: AnswerArgsOf<R>;
};

/**
 * Encodes one message.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { encodeMessage } from "./codec.ts";
 * const bytes = encodeMessage("AskNewOIDs", 5, { count: 2 });
 * assert.deepEqual(bytes, Uint8Array.of(0x93, 5, 0x19, 0x91, 2));
 * ```
 */
export function encodeMessage<N extends MessageName>(
  name: N,
  id: number,
  args: MessageArgs<N>,
): Uint8Array<ArrayBuffer> {
  const output = new Output();
  writeMessage(output, codecOf(name), id, args as Readonly<Record<string, unknown>>);
  return output.takeBytes();
}

/** The beginning of a message: what is needed to refuse the rest. */
export interface MessageHead {
  readonly id: number;
  readonly codec: MessageCodec;
}

/**
 * Decodes the id and the code of a message.
 *
 * @throws {ProtocolError} if they are invalid or the code does not exist.
 */
export function decodeHead(bytes: Uint8Array): MessageHead {
  return readHead(new Input(bytes));
}

function readHead(input: Input): MessageHead {
  if (input.array() !== 3) throw new ProtocolError("a message is an array of 3 items");
  const id = input.int();
  if (id < 0 || id > 0xffff_ffff) throw new ProtocolError(`message id out of range: ${id}`);
  const code = input.int();
  const codec = byCode.get(code);
  if (codec === undefined) throw new ProtocolError(`unknown message code ${code}`);
  return { id, codec };
}

/**
 * Encodes the array of arguments of a message that goes to several peers: only the id of a message
 * depends on the connection.
 */
export function encodeBody<N extends MessageName>(name: N, args: MessageArgs<N>): Uint8Array {
  const output = new Output();
  writeArguments(output, codecOf(name), args as Readonly<Record<string, unknown>>);
  return output.takeBytes();
}

/** Appends a message whose arguments are encoded already. */
export function writeEncoded(
  output: Output,
  codec: MessageCodec,
  id: number,
  body: Uint8Array,
): void {
  output.array(3);
  output.int(id);
  output.int(codec.code);
  output.raw(body);
}

/** The encoded array of arguments of a message: what logs keep of it. */
export function bodyOf(bytes: Uint8Array): Uint8Array {
  const input = new Input(bytes);
  readHead(input);
  return bytes.subarray(input.position);
}

/**
 * Decodes the bytes of exactly one message. Byte strings are views.
 *
 * @throws {ProtocolError} if they are not those of a valid message.
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const input = new Input(bytes);
  const { id, codec } = readHead(input);
  const length = input.array();
  if (length !== codec.fields.length) {
    throw new ProtocolError(
      `${codec.name} has ${codec.fields.length} arguments, not ${length}`,
    );
  }
  const args: Record<string, unknown> = {};
  for (const [name, type] of codec.fields) args[name] = type.read(input);
  input.end();
  if (codec.code === ERROR.code && ErrorCode[args.code as number] === undefined) {
    throw new ProtocolError(`unknown error code ${args.code}`);
  }
  return { id, codec, args };
}
