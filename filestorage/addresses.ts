/**
 * Addresses of the ends of a copy.
 *
 * @module
 */

import { UsageError } from "./errors.ts";

/** A Data.fs. */
export interface PathAddress {
  readonly kind: "file";
  readonly path: string;
}

/** A NEO cluster. */
export interface ClusterAddress {
  readonly kind: "cluster";
  readonly name: string;
  /** Each as `host:port`; hosts that are IPv6 addresses are in brackets. */
  readonly masters: readonly string[];
  /** `null`: without TLS. */
  readonly tls: TlsFiles | null;
}

/** Names of PEM files. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What addresses are completed with. */
export interface AddressContext {
  /** Name of the cluster whose masters may be given alone. */
  readonly cluster: string | undefined;
  /** Files given apart: they win over those of a URI. */
  readonly tls: TlsFiles | null;
  readonly env: (name: string) => string | undefined;
}

const MASTER = /^(\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+):(\d{1,5})$/;

/**
 * Parses an end: a path, a `neo://` URI, or a list of masters if a cluster is known.
 *
 * What a text means depends on nothing but itself: a mistyped path is not taken for something else
 * because it does not exist.
 *
 * @throws {UsageError} if it is none of them.
 */
export function parseEnd(text: string, context: AddressContext): PathAddress | ClusterAddress {
  if (/^neos?:\/\//i.test(text)) return parseUri(text, context);
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  if (words.length === 0) throw new UsageError("an empty path or address was given");
  if (words.every(isMaster)) {
    if (context.cluster === undefined) {
      throw new UsageError(
        `"${text}" looks like a list of masters: give the name of the cluster with --cluster, ` +
          `or write neo://NAME@${words.join()}. If it is a file, write ./${text}`,
      );
    }
    return { kind: "cluster", name: context.cluster, masters: words, tls: context.tls };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw new UsageError(`"${text}" is neither a path nor a neo:// address`);
  }
  return { kind: "file", path: expandHome(text, context) };
}

function isMaster(word: string): boolean {
  const port = Number(MASTER.exec(word)?.[2]);
  return port >= 1 && port <= 65535;
}

/** Shells do not expand `~` everywhere a path can come from. */
function expandHome(path: string, { env }: AddressContext): string {
  const home = env("HOME");
  return home !== undefined && (path === "~" || path.startsWith("~/"))
    ? home + path.slice(1)
    : path;
}

function parseUri(text: string, context: AddressContext): ClusterAddress {
  const wrong = (problem: string) =>
    new UsageError(
      `"${text}": ${problem}; expected neo://NAME@HOST:PORT[,HOST:PORT...][?ca=FILE&cert=FILE&key=FILE]`,
    );
  const [, scheme = "", authority = "", rest = "", query = ""] =
    /^(neos?):\/\/([^/?#]*)([^?]*)\??(.*)$/i.exec(text) ?? [];
  if (rest !== "") throw wrong(`"${rest}" after the masters has no meaning`);
  const at = authority.indexOf("@");
  if (at <= 0) throw wrong("the name of the cluster is missing");
  const masters = authority.slice(at + 1).split(",");
  const bad = masters.find((master) => !isMaster(master));
  if (bad !== undefined) throw wrong(`"${bad}" is not HOST:PORT`);

  const parameters = new URLSearchParams(query);
  for (const key of parameters.keys()) {
    if (!["ca", "cert", "key"].includes(key)) throw wrong(`unknown parameter "${key}"`);
  }
  const secure = scheme.toLowerCase() === "neos";
  const file = (name: string) =>
    parameters.get(name) || (secure ? context.env(`NEO_${name.toUpperCase()}`) : undefined);
  const [ca, cert, key] = [file("ca"), file("cert"), file("key")];
  const complete = ca && cert && key ? { ca, cert, key } : null;
  const tls = context.tls ?? complete;
  if (tls === null && (secure || ca || cert || key)) {
    throw wrong("TLS needs the three files ca, cert and key");
  }
  return { kind: "cluster", name: decodeName(authority.slice(0, at), wrong), masters, tls };
}

function decodeName(name: string, wrong: (problem: string) => Error): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw wrong(`the name "${name}" is badly percent-encoded`);
  }
}
