/**
 * The site of `docs/deployment.md`: what its three machines have in their file systems is in one folder
 * here, and their addresses are loopback ones.
 *
 * @module
 */

import { Shell } from "../docs/shell.ts";
import { freePort, NodeProcess, ROOT, until } from "../support/processes.ts";
import { run } from "../support/python.ts";

/** Commands that reach other machines or change this one, as they are here. */
const COMMANDS: Readonly<Record<string, string>> = {
  ssh: 'shift; exec sh -ec "$*"',
  scp: 'files=; while [ $# -gt 1 ]; do files="$files $1"; shift; done; cp $files "${1#*:}"',
  useradd: "mkdir -p /var/lib/neo",
};

/** Three machines without NEO, but with supervisor. */
export class Site implements AsyncDisposable {
  readonly shell: Shell;
  readonly #ports = new Map<string, number>();
  readonly #supervisor: NodeProcess;

  private constructor(
    readonly root: string,
    readonly supervisor: string,
    readonly socket: string,
    readonly user: string,
  ) {
    this.shell = new Shell({
      folder: `${root}/opt/neo`,
      path: [`${root}/commands`, `${root}/usr/local/bin`],
      translate: (text) => this.translate(text),
    });
    const args = ["-c", `${root}/supervisord.conf`];
    this.#supervisor = new NodeProcess("supervisord", args, {}, `${supervisor}/supervisord`);
  }

  /**
   * Prepares the machines.
   *
   * @param supervisor folder with the commands of supervisor.
   * @param socket of MariaDB.
   */
  static async create(supervisor: string, socket: string): Promise<Site> {
    const user = (await run("id", "-un")).trim();
    const site = new Site(await Deno.makeTempDir(), supervisor, socket, user);
    const folders = ["commands", "opt/neo", "etc/systemd/system", "etc/supervisor/conf.d", "var"];
    for (const folder of folders) await Deno.mkdir(site.path(folder), { recursive: true });
    // What machines need of the repository is what containers need.
    const containers = await Deno.readTextFile(new URL("deploy/Containerfile", ROOT));
    for (const [, names = ""] of containers.matchAll(/^COPY (.*) \S+$/gm)) {
      const sources = names.split(" ").map((name) => ROOT.pathname + name);
      await run("cp", "-r", ...sources, site.path("opt/neo"));
    }
    for (const file of ["deploy/neo.conf", "deploy/supervisor/neo.conf"]) {
      await site.edit(`opt/neo/${file}`, (text) => site.translate(text));
    }
    await site.#addCommands();
    await Deno.writeTextFile(
      site.path("supervisord.conf"),
      site.translate(
        `[supervisord]\nnodaemon=true\nlogfile=/var/supervisord.log\npidfile=/var/supervisord.pid\n` +
          "[unix_http_server]\nfile=/var/supervisor.sock\n" +
          "[rpcinterface:supervisor]\n" +
          "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n" +
          `[supervisorctl]\nserverurl=unix://${site.path("var/supervisor.sock")}\n` +
          "[include]\nfiles=/etc/supervisor/conf.d/*.conf\n",
      ),
    );
    site.#supervisor.start();
    await until("supervisor answers", async () => {
      try {
        return await site.shell.run("supervisorctl pid") !== "";
      } catch {
        return false;
      }
    });
    return site;
  }

  async #addCommands(): Promise<void> {
    const own = {
      ...COMMANDS,
      deno: `exec '${Deno.execPath()}' "$@"`,
      supervisorctl:
        `exec '${this.supervisor}/supervisorctl' -c '${this.root}/supervisord.conf' "$@"`,
      // Without a running system, units are only installed.
      systemctl: `shift; if [ "\${1-}" = --now ]; then shift; ` +
        `PATH=/usr/bin:/bin; if command -v systemctl; then ` +
        `exec systemctl --quiet --root='${this.root}' enable "$@"; fi; fi`,
    };
    for (const [name, script] of Object.entries(own)) {
      const file = this.path(`commands/${name}`);
      await Deno.writeTextFile(file, `#!/bin/sh -e\n${this.translate(script)}\n`);
      await Deno.chmod(file, 0o755);
    }
  }

  /** Where a file of the machines is. */
  path(path: string): string {
    return `${this.root}/${path}`;
  }

  /** Changes a file of the machines. */
  async edit(path: string, change: (text: string) => string): Promise<void> {
    const text = await Deno.readTextFile(this.path(path));
    await Deno.writeTextFile(this.path(path), change(text));
  }

  /** A text of the documentation with the paths, addresses and accounts of this site. */
  translate(text: string): string {
    return text
      .replaceAll(
        /(?<![\w/.])\/(?=(usr\/local\/bin|etc\/(neo|systemd|supervisor)|var|opt\/neo)\b)/g,
        `${this.root}/`,
      )
      .replaceAll(/10\.0\.0\.(\d):(\d{4,5})/g, (_, machine: string, port: string) => {
        const free = this.#ports.get(`${machine}:${port}`) ?? freePort();
        this.#ports.set(`${machine}:${port}`, free);
        return `127.0.0.${machine}:${free}`;
      })
      .replaceAll(/\b10\.0\.0\.(?=\d\b)/g, "127.0.0.")
      .replaceAll(/^user=neo\n/gm, "")
      .replaceAll(/(?<=chown (?:-R )?)neo:/g, `${this.user}:`)
      .replaceAll(/(?<=^database: neo:secret@neo\d)$/gm, this.socket);
  }

  /** What the nodes printed last. */
  output(): string {
    const texts = [this.#supervisor.output];
    for (const { name } of Deno.readDirSync(this.path("var/log/neo"))) {
      texts.push(name, Deno.readTextFileSync(this.path(`var/log/neo/${name}`)).slice(-1500));
    }
    return texts.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It stops what it has started.
    await this.#supervisor.kill("SIGTERM");
    await Deno.remove(this.root, { recursive: true });
  }
}
