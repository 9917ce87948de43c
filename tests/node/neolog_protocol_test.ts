import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import unbzip2 from "npm:seek-bzip@2.0.0";
import { neologProtocol, neologSource } from "../../node/neolog_protocol.ts";

Deno.test("neologSource() names every message and its answer", () => {
  const source = neologSource();
  assert.match(source, /^add\(1, "RequestIdentification"\)$/m);
  assert.match(source, /^add\(32769, "AcceptIdentification"\)$/m);
  assert.match(source, /^add\(32768, "Error", _neolog=/m);
  assert.match(source, /^add\(\d+, "AnswerObject", data_path=\(1,3,\)\)$/m);
  assert.match(source, /^ {4}4: \["MASTER","STORAGE","CLIENT","ADMIN"\],$/m);
  assert.ok(!source.includes("undefined"));
});

Deno.test("neologProtocol() is the compressed source", () => {
  const text = new TextDecoder().decode(unbzip2.decode(Buffer.from(neologProtocol())));
  assert.equal(text, neologSource());
});
