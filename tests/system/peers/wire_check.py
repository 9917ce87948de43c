"""Checks the table of wire.py itself, against messages of nodes of the reference implementation."""

import json
import re
import sys

import wire


def check(raw):
    decoder = wire.Decoder()
    decoder.feed(wire.HANDSHAKE + raw)
    (message, msg_id, args), = decoder
    assert not decoder.incomplete
    assert wire.encode(msg_id, message.name, args) == raw
    return message


def main(vectors, *recordings):
    seen = set()
    with open(vectors) as lines:
        text = lines.read()
    for name, encoded in re.findall(r"^[0-9a-f]{4} (\w+).*\n\s+([0-9a-f]+)$", text, re.M):
        assert check(bytes.fromhex(encoded)).name == name
        seen.add(name)
    missing = set(wire.BY_NAME) - seen
    assert not missing, f"no vector of {missing}"
    count = 0
    for recording in recordings:
        with open(recording) as lines:
            for line in map(json.loads, lines):
                if type(line) is list and not line[7].endswith("…"):
                    assert check(bytes.fromhex(line[7])).name == line[3], line
                    count += 1
    assert count > 1000
    print(f"{len(seen)} vectors and {count} recorded messages obey the table")


main(*sys.argv[1:])
