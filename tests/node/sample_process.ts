import { DatabaseSync } from "node:sqlite";

const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write", "--allow-env"];

/** The sample program as a process, with a log database in a folder of its own. */
export class SampleProcess implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync();
  readonly logfile = `${this.folder}/log`;
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #stderr: Promise<string>;

  /** @param cluster what the sample program has to do. */
  constructor(
    cluster: string,
    args: readonly string[] = [],
    permissions: readonly string[] = ["--allow-ffi"],
  ) {
    const program = new URL("sample_program.ts", import.meta.url).pathname;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", ...PERMISSIONS, ...permissions, program],
        ...["--cluster", cluster, "--logfile", this.logfile, ...args],
      ],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = lines(this.#child.stdout);
    this.#stderr = new Response(this.#child.stderr).text();
  }

  /** The next line of its output, `null` at the end. */
  async line(): Promise<string | null> {
    const { value, done } = await this.#lines.next();
    return done ? null : value;
  }

  async end(): Promise<{ code: number; signal: Deno.Signal | null; stderr: string }> {
    const { code, signal } = await this.#child.status;
    return { code, signal, stderr: await this.#stderr };
  }

  /** Sends a signal by name or number. */
  async kill(signal: string): Promise<void> {
    const kill = new Deno.Command("kill", { args: [`-${signal}`, String(this.#child.pid)] });
    if (!(await kill.output()).success) throw new Error(`can't send signal ${signal}`);
  }

  /** Messages in its log database. */
  messages(path: string = this.logfile): string[] {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      return db.prepare("SELECT msg FROM log ORDER BY date").all().map(({ msg }) => String(msg));
    } finally {
      db.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.end();
    while (await this.line() !== null);
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (
    const chunk of stream.pipeThrough(
      new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>,
    )
  ) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}
