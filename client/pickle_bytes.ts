const LINE_FEED = 0x0a;
const BACKSLASH = 0x5c;

/** Escapes of a quoted line that stand for one byte. */
const ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
  "\\": BACKSLASH,
  "'": 0x27,
  '"': 0x22,
};

/** The bytes of a pickle, read in order. Whatever is wrong is told to `fail`. */
export class PickleBytes {
  #offset = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly fail: (problem: string) => never,
  ) {}

  byte(): number {
    return this.bytes[this.#offset++] ?? this.fail("it ends too early");
  }

  /** The next bytes. */
  take(size: number): Uint8Array {
    const end = this.#offset + size;
    if (end > this.bytes.length) this.fail("it ends too early");
    const taken = this.bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  /** A little-endian number of 1, 4 or 8 bytes. */
  size(width: number): number {
    return this.take(width).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  /** The bytes up to the end of the line. */
  line(): Uint8Array {
    const end = this.bytes.indexOf(LINE_FEED, this.#offset);
    if (end < 0) this.fail("a line has no end");
    const line = this.bytes.subarray(this.#offset, end);
    this.#offset = end + 1;
    return line;
  }

  /** A line that is a number. */
  decimalLine(): number {
    const text = new TextDecoder("latin1").decode(this.line());
    return /^\d+$/.test(text) ? Number(text) : this.fail(`"${text}" is not a number`);
  }

  /** The bytes of a line written as a string of Python 2: quoted, with escapes. */
  quotedLine(): Uint8Array {
    const line = this.line();
    const quote = line[0];
    if (line.length < 2 || line.at(-1) !== quote || (quote !== 0x27 && quote !== 0x22)) {
      this.fail("a string is not quoted");
    }
    return unescape(
      line.subarray(1, -1),
      /\\(?:x([0-9a-f]{2})|([0-7]{1,3})|([abtnvfr\\'"]))/gi,
      (_, hex, octal, letter) =>
        hex ? parseInt(hex, 16) : octal ? parseInt(octal, 8) : ESCAPES[letter ?? ""],
    );
  }

  /** The characters of a line where some are written `\uXXXX`, one byte each: those beyond are of no
   * interest here. */
  escapedLine(): Uint8Array {
    return unescape(this.line(), /\\u([0-9a-f]{4})/gi, (_, hex) => parseInt(hex ?? "", 16));
  }
}

function unescape(
  line: Uint8Array,
  pattern: RegExp,
  codeOf: (...groups: (string | undefined)[]) => number | undefined,
): Uint8Array {
  if (!line.includes(BACKSLASH)) return line;
  const text = Array.from(line, (byte) => String.fromCharCode(byte)).join("").replace(
    pattern,
    (match: string, ...groups: string[]) => {
      const code = codeOf(match, ...groups);
      return code === undefined ? match : String.fromCharCode(code);
    },
  );
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
