/**
 * What makes log databases readable by the `neolog` command of the Python implementation: a small Python
 * source that decodes messages, which that command runs.
 *
 * @module
 */

import { CellState, ClusterState, ErrorCode, NodeState, NodeType } from "../protocol/enums.ts";
import { ANSWER_BIT, MESSAGES } from "../protocol/mod.ts";
import { bzip2 } from "./bzip2.ts";

/** Enumerations by their MessagePack extension type. */
export const ENUMERATIONS = { 0: CellState, 1: ClusterState, 3: NodeState, 4: NodeType };

/** Where the (compression, checksum, data) triple of a message is: 0 request or 1 answer, then indexes. */
export const DATA_PATHS: Readonly<Record<string, readonly number[]>> = {
  AskStoreObject: [0, 2],
  AddObject: [0, 2],
  AnswerObject: [1, 3],
  AnswerRelockObject: [1, 0, 2, 0],
};

/** Members of a numeric TypeScript enumeration, in the order of their numbers. */
function memberNames(enumeration: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(enumeration)
    .filter((entry): entry is [string, number] => typeof entry[1] === "number")
    .sort(([, a], [, b]) => a - b)
    .map(([name]) => name);
}

/** `code name` of each message and answer. */
function messageCodes(): [number, string][] {
  return Object.entries(MESSAGES).flatMap(([name, definition]): [number, string][] =>
    definition.kind === "request"
      ? [[definition.code, name], [definition.code | ANSWER_BIT, definition.answer]]
      : [[definition.code, name]]
  );
}

/** A Python literal. Names and numbers are written the same in JSON. */
const literal = JSON.stringify;

/** The Python source. */
export function neologSource(): string {
  const enums = Object.entries(ENUMERATIONS).map(([type, enumeration]) =>
    `    ${type}: ${literal(memberNames(enumeration))},\n`
  );
  const packets = messageCodes().map(([code, name]) => {
    const path = DATA_PATHS[name];
    return `add(${code}, ${literal(name)}${path === undefined ? "" : `, data_path=(${path},)`})\n`;
  });
  return `\
# Names of the messages of NEO protocol 5, and how to decode them.
from datetime import datetime, timezone
from functools import partial
import msgpack

ENUMS = {
${enums.join("")}}
ERRORS = ${literal(memberNames(ErrorCode))}

class EnumItem(int):
    def __repr__(self):
        return '<EnumItem %s (%d)>' % (self, self)
    def __str__(self):
        return self.name

def ext_hook(code, data):
    names = ENUMS.get(code)
    if names is None or len(data) != 1 or data[0] >= len(names):
        return msgpack.ExtType(code, data)
    item = EnumItem(data[0])
    item.name = names[item]
    return item

Unpacker = partial(msgpack.Unpacker, ext_hook=ext_hook)

def uuid_str(nid):
    if nid is None:
        return 'None'
    letter = {0: 'S', -16: 'M', -32: 'C', -48: 'A'}.get(nid >> 24)
    return '%s%d' % (letter, nid & 0xffffff) if letter else str(nid)

def address_str(address):
    if not address:
        return 'None'
    host, port = address
    if isinstance(host, bytes):
        host = host.decode('utf-8', 'replace')
    return '%s:%s' % ('[%s]' % host if ':' in host else host, port)

def neolog_nodes(timestamp, nodes):
    rows = [(uuid_str(nid), str(type), address_str(address), str(state),
             str(since and datetime.fromtimestamp(since, timezone.utc).replace(tzinfo=None)))
            for type, address, nid, state, since in nodes]
    rows.sort()
    widths = [max(map(len, column)) for column in zip(*rows)]
    return (timestamp,), [
        ' ! ' + ' | '.join(map(str.ljust, row, widths)).rstrip() for row in rows]

def neolog_error(code, message):
    if isinstance(message, bytes):
        message = message.decode('utf-8', 'replace')
    name = ERRORS[code] if 0 <= code < len(ERRORS) else code
    return (), ['%s (%s)' % (name, message)]

Packets = {}

def add(code, name, **attributes):
    Packets[code] = type(name, (), dict(attributes, _code=code))

${packets.join("")}add(${ANSWER_BIT}, "Error", _neolog=staticmethod(neolog_error))
Packets[${MESSAGES.NotifyNodeInformation.code}]._neolog = staticmethod(neolog_nodes)
`;
}

let compressed: Uint8Array | null = null;

/** The source as log databases contain it. */
export function neologProtocol(): Uint8Array {
  return compressed ??= bzip2(new TextEncoder().encode(neologSource()));
}
