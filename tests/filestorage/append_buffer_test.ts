import { deepEqual, equal } from "node:assert/strict";
import { AppendBuffer } from "../../filestorage/append_buffer.ts";
import { withFolder } from "./support.ts";

/** Bytes that differ from place to place. */
function pattern(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (index * 7 + seed) & 0xff);
}

Deno.test("AppendBuffer keeps pieces of all sizes in order, readable and replaceable", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/file`;
    using file = await Deno.open(path, { read: true, write: true, create: true });
    await file.write(pattern(4, 0));
    const buffer = new AppendBuffer(file, path, 4);
    const sizes = [10, 700_000, 300, 500_000, 600_000, 1, 3_000_000, 200_000, 1_048_576, 5];
    const pieces = sizes.map((size, index) => pattern(size, index));
    const places: number[] = [];
    for (const piece of pieces) {
      places.push(buffer.position);
      buffer.append(piece);
      pieces.slice(0, places.length).forEach((appended, index) => {
        const read = buffer.read(places[index] ?? 0, appended.length);
        equal(equalBytes(read, appended), true);
      });
    }
    // One that is in the file, one that is still in memory.
    for (const index of [2, pieces.length - 1]) {
      pieces[index] = pattern(sizes[index] ?? 0, 99);
      buffer.patch(places[index] ?? 0, pieces[index]);
    }
    buffer.flush();
    const expected = new Blob([pattern(4, 0), ...pieces].map((piece) => piece.slice()));
    equal(equalBytes(await Deno.readFile(path), await expected.bytes()), true);
  });
});

Deno.test("AppendBuffer.cut() forgets what is after a position, in memory or in the file", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/file`;
    using file = await Deno.open(path, { read: true, write: true, create: true });
    const buffer = new AppendBuffer(file, path, 0);
    buffer.append(pattern(10, 1));
    buffer.append(pattern(10, 2));
    buffer.cut(10);
    equal(buffer.position, 10);
    buffer.append(pattern(10, 3));
    buffer.flush();
    deepEqual(buffer.read(10, 10), pattern(10, 3));
    buffer.cut(5);
    buffer.append(pattern(3, 4));
    buffer.flush();
    deepEqual(await Deno.readFile(path), Uint8Array.of(...pattern(5, 1), ...pattern(3, 4)));
    deepEqual(buffer.read(5, 3), pattern(3, 4));
  });
});

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
