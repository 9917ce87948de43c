/**
 * NEO protocol version 5: ids, enumerations, messages and their encoding. No input nor output.
 *
 * @module
 */

export * from "./codec.ts";
export * from "./enums.ts";
export * from "./errors.ts";
export * from "./ids.ts";
export {
  type AnswerArgsOf,
  type AnswerName,
  type AnswerOf,
  type ArgsOf,
  type CommandName,
  type MessageName,
  MESSAGES,
  type MessagesOn,
  type NotificationName,
  type OnClosed,
  type RequestName,
  type Route,
  type SentName,
} from "./messages.ts";
export * from "./nodes.ts";
export * from "./splitter.ts";
export { type Anything, Float, Member } from "./types.ts";
