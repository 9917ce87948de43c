/** The programs as they are installed on a machine, and the files of `deploy/` for it. */

import { runTool } from "../support/processes.ts";

const DEPLOY = new URL("../../deploy/", import.meta.url);

/** A machine: where the root of its file system would be, there is a folder. */
export class Machine implements AsyncDisposable {
  private constructor(readonly root: string) {}

  /** A machine where the programs are installed. */
  static async create(): Promise<Machine> {
    const machine = new Machine(await Deno.makeTempDir());
    const { code, stderr } = await machine.install();
    if (code !== 0) throw new Error(stderr);
    for (const folder of ["etc/neo", "var/lib/neo", "var/log/neo"]) {
      await Deno.mkdir(machine.path(folder), { recursive: true });
    }
    return machine;
  }

  path(path: string): string {
    return `${this.root}/${path}`;
  }

  install() {
    return runTool(
      ...["--allow-read", "--allow-write", "--allow-env", "--allow-run=deno"],
      ...["deploy/install.ts", "--bin", this.path("usr/local/bin"), "--cache", this.path("cache")],
    );
  }

  /** Puts a file of `deploy/` somewhere, whose paths and ports are those of the machine. */
  async place(name: string, path: string, change = (text: string) => text): Promise<string> {
    const text = (await Deno.readTextFile(new URL(name, DEPLOY)))
      .replaceAll(
        /(?<=[=\s])\/(?=(usr\/local\/bin|etc\/neo|var\/(lib|log)\/neo))/g,
        `${this.root}/`,
      );
    await Deno.writeTextFile(this.path(path), change(text));
    return this.path(path);
  }

  /** Runs an installed program to its end. */
  async run(program: string, ...args: string[]) {
    const command = new Deno.Command(this.path(`usr/local/bin/${program}`), {
      args,
      cwd: this.root,
      env: { NO_COLOR: "1" },
    });
    const { code, stdout, stderr } = await command.output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}
