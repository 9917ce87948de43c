/**
 * The kinds of options. A program declares its options as a table of them, from which its command
 * line, configuration keys, help and the type of its options all derive.
 *
 * @module
 */

import type { Address } from "../protocol/nodes.ts";
import { type Endpoint, parseEndpoint, parseEndpoints, resolveAddress } from "./addresses.ts";
import { InvalidValueError } from "./errors.ts";
import { expandHome, type Host } from "./host.ts";

/** What a table says of an option. */
export interface OptionSpec {
  readonly help: string;
  readonly short?: string;
  /** How the value is called in the help. */
  readonly metavar?: string;
  /** The text of the value when none is given. It is read like any other. */
  readonly default?: string;
  readonly required?: boolean;
  /** Not looked for in the configuration file. */
  readonly commandLineOnly?: boolean;
}

/** An option that always has a value. */
type Definite = { readonly required: true } | { readonly default: string };

/** An option of a program, `Value` being the type of what the program gets. */
export interface Option<Value> extends OptionSpec {
  /** `"flag"`: needs no value on the command line. `"list"`: may be repeated. */
  readonly arity: "flag" | "one" | "list";
  readonly choices: readonly string[];
  /**
   * Makes the value out of its texts, of which there is one unless `arity` is `"list"`; `null` when
   * there is neither a text nor a default.
   *
   * @throws {InvalidValueError} if a text is wrong.
   */
  read(texts: readonly string[] | null, host: Host): Value | Promise<Value>;
}

/** The options of a program by name. `newNid` is `--new-nid`, and `new_nid` in a file. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The values of the options of a table. */
export type OptionsOf<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Option<infer Value> ? Value : never;
};

/** Makes options of a kind; those that always have a value are never `null`. */
export interface Kind<Value> {
  (spec: OptionSpec & Definite): Option<Value>;
  (spec: OptionSpec): Option<Value | null>;
}

/**
 * A kind of options that have one value.
 *
 * @param parse throws an {@linkcode InvalidValueError} if the text is wrong.
 */
export function kind<Value>(
  metavar: string,
  parse: (text: string, host: Host) => Value | Promise<Value>,
  choices: readonly string[] = [],
): Kind<Value> {
  function make(spec: OptionSpec & Definite): Option<Value>;
  function make(spec: OptionSpec): Option<Value | null>;
  function make(spec: OptionSpec): Option<Value | null> {
    return {
      metavar,
      ...spec,
      arity: "one",
      choices,
      read: (texts, host) => {
        const text = texts?.[0];
        return text === undefined ? null : parse(text, host);
      },
    };
  }
  return make;
}

function nonEmpty(text: string): string {
  if (text === "") throw new InvalidValueError("must not be empty");
  return text;
}

/** Any text but the empty one. */
export const text: Kind<string> = kind("TEXT", nonEmpty);

/** A path, in which `~` and `~user` are expanded. An empty one is the same as none. */
export const path: Kind<string | null> = kind(
  "PATH",
  (text, host) => text === "" ? null : expandHome(text, host),
);

/** An integer in decimal. */
export const integer: Kind<number> = kind("N", (text) => {
  if (!/^[-+]?\d+$/.test(text) || !Number.isSafeInteger(Number(text))) {
    throw new InvalidValueError(`'${text}' is not an integer`);
  }
  return Number(text);
});

/** A number of seconds, maybe with a fraction. */
export const seconds: Kind<number> = kind("SECONDS", (text) => {
  if (!/^[-+]?(\d+\.?\d*|\.\d+)$/.test(text)) {
    throw new InvalidValueError(`'${text}' is not a number of seconds`);
  }
  return Number(text);
});

/** One word among some. */
export function choice<const Word extends string>(...words: Word[]): Kind<Word> {
  return kind(words.join("|"), (text) => {
    const word = words.find((word) => word === text);
    if (word !== undefined) return word;
    throw new InvalidValueError(`'${text}' is not one of ${words.join(", ")}`);
  }, words);
}

/** An address to listen to, with a numeric host. Without port it means any free port: port 0. */
export const bindAddress: Kind<Address> = kind("ADDRESS", (text, host) => {
  const endpoint = parseEndpoint(text);
  return resolveAddress({ host: endpoint.host, port: endpoint.port ?? 0 }, host);
});

/** An address to connect to, with a numeric host and a port that may be left out. */
export function nodeAddress(defaultPort: number): Kind<Address> {
  return kind("ADDRESS", (text, host) => {
    const endpoint = parseEndpoint(text);
    if (endpoint.port === 0) {
      throw new InvalidValueError(`'${text}' has port 0, which nobody can connect to`);
    }
    return resolveAddress({ host: endpoint.host, port: endpoint.port ?? defaultPort }, host);
  });
}

/** Addresses to connect to, separated by spaces, maybe none. Names give their first address. */
export const nodeAddresses: Kind<readonly Address[]> = kind(
  '"A B"',
  (text, host) => Promise.all(parseEndpoints(text).map((entry) => resolveAddress(entry, host))),
);

/** A server outside of the cluster, left as it is written. */
export const endpoint: Kind<Endpoint> = kind("HOST[:PORT]", parseEndpoint);

/** A user name and a password, separated by the first `:`. */
export const credentials: Kind<{ readonly user: string; readonly password: string }> = kind(
  "USER:PASSWORD",
  (text) => {
    const colon = text.indexOf(":");
    // The text is a secret: not in the message.
    if (colon < 1) throw new InvalidValueError("expected USER:PASSWORD");
    return { user: text.slice(0, colon), password: text.slice(colon + 1) };
  },
);

/** On or off. Off by default. */
export function flag(spec: Omit<OptionSpec, "required" | "default" | "metavar">): Option<boolean> {
  return {
    ...spec,
    arity: "flag",
    choices: [],
    read: (texts) => {
      const text = texts?.[0];
      return text !== undefined && parseBoolean(text);
    },
  };
}

function parseBoolean(text: string): boolean {
  switch (text.toLowerCase()) {
    case "1":
    case "yes":
    case "true":
    case "on":
      return true;
    case "0":
    case "no":
    case "false":
    case "off":
      return false;
  }
  throw new InvalidValueError(`'${text}' is not a boolean: expected yes or no`);
}

/** Texts: an option that is repeated on the command line, and has one value per line in a file. */
export function texts(
  spec: Omit<OptionSpec, "required" | "default">,
): Option<readonly string[]> {
  return {
    metavar: "TEXT",
    ...spec,
    arity: "list",
    choices: [],
    read: (texts) => (texts ?? []).map(nonEmpty),
  };
}
