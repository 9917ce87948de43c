/**
 * The arguments of a command, taken one after the other.
 *
 * @module
 */

import { InvalidValueError } from "../node/errors.ts";

/** Reads the text of a value. @throws {InvalidValueError} if it is wrong. */
export type Parser<Value> = (text: string) => Value;

/** The words that follow a command. */
export class Arguments {
  readonly #words: string[];

  constructor(words: readonly string[]) {
    this.#words = [...words];
  }

  /** The next word, which stays the next one. */
  get next(): string | undefined {
    return this.#words[0];
  }

  /** Takes the next word if it is this one, and tells whether it was. */
  skip(word: string): boolean {
    if (this.#words[0] !== word) return false;
    this.#words.shift();
    return true;
  }

  /** Takes the next word. @throws {InvalidValueError} if there is none or it is wrong. */
  required<Value>(name: string, parse: Parser<Value>): Value {
    const word = this.#words.shift();
    if (word === undefined) throw new InvalidValueError(`missing ${name}`);
    return parse(word);
  }

  /** Takes the next word if there is one. @throws {InvalidValueError} if it is wrong. */
  optional<Value>(parse: Parser<Value>): Value | null {
    const word = this.#words.shift();
    return word === undefined ? null : parse(word);
  }

  /** Takes all the words that are left. @throws {InvalidValueError} if one is wrong. */
  rest<Value>(parse: Parser<Value>): Value[] {
    return this.#words.splice(0).map(parse);
  }

  /** @throws {InvalidValueError} if words are left. */
  end(): void {
    const [word] = this.#words;
    if (word !== undefined) throw new InvalidValueError(`unexpected argument '${word}'`);
  }
}
