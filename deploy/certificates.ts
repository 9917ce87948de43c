/**
 * `deno task certificates`: the certificate authority of a small site. Its options are told by
 * `--help`.
 *
 * | permission | for |
 * |---|---|
 * | `--allow-run=openssl` | making keys and certificates |
 * | `--allow-read`, `--allow-write` | the folder they are in |
 * | `--allow-env=HOME` | paths that start with `~` |
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError, UsageError } from "../node/errors.ts";
import { localHost } from "../node/host.ts";
import { integer, texts } from "../node/option_kinds.ts";
import { loadOptions } from "../node/options.ts";
import { print, refuse } from "../node/process.ts";
import type { Program } from "../node/programs.ts";
import { ExitStatus } from "../node/supervise.ts";

const table = {
  days: integer({ default: "3650", help: "how long certificates are valid" }),
  revoke: texts({ metavar: "NAME", help: "revoke the certificate of this node (repeatable)" }),
};

const program: Program<typeof table> = {
  name: "certificates",
  summary:
    "Makes the certificate authority of a site in FOLDER, unless it exists, and a certificate\n" +
    "for each NAME, which is the name or the address of a machine. Nodes and tools are given\n" +
    "--ca FOLDER/ca.crt --cert FOLDER/NAME.crt --key FOLDER/NAME.key. Keep ca.key at a safe place.",
  operands: "FOLDER [NAME…]",
  options: table,
  check({ days }) {
    if (days < 1) throw new ConfigError("days must be at least 1");
    return [];
  },
};

/** Elliptic curve keys are small and fast, and all implementations know this one. */
const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

const SETTINGS = `[ca]
default_ca = site
[site]
database = index.txt
default_md = sha256
default_crl_days = 3650
crlnumber = crlnumber
`;

/** The folder of an authority. */
class Authority {
  constructor(readonly folder: string, readonly days: number) {}

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /** Makes the authority, unless there is one. */
  async create(): Promise<void> {
    await Deno.mkdir(this.folder, { recursive: true, mode: 0o700 });
    if (await exists(this.path("ca.key"))) return;
    await this.#openssl(
      ...["req", "-x509", "-new", ...NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt"],
      ...["-days", String(this.days), "-subj", "/CN=NEO certificate authority"],
      ...["-addext", "basicConstraints=critical,CA:TRUE"],
      ...["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
    );
    await Deno.chmod(this.path("ca.key"), 0o600);
    print(Deno.stdout, `${this.path("ca.crt")}: the new authority\n`);
  }

  /** Makes the key and the certificate of a node, unless it has one. */
  async issue(name: string): Promise<void> {
    const [key, request, certificate] = [`${name}.key`, `${name}.csr`, `${name}.crt`];
    if (await exists(this.path(certificate))) {
      print(Deno.stdout, `${this.path(certificate)} exists already\n`);
      return;
    }
    const extensions = `${name}.ext`;
    const kind = /^[\d.]+$|:/.test(name) ? "IP" : "DNS";
    await Deno.writeTextFile(
      this.path(extensions),
      "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n" +
        `extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=${kind}:${name}\n` +
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
    );
    try {
      await this.#openssl(
        ...["req", "-new", ...NEW_KEY, "-keyout", key, "-out", request, "-subj", `/CN=${name}`],
      );
      await Deno.chmod(this.path(key), 0o600);
      await this.#openssl(
        ...["x509", "-req", "-in", request, "-CA", "ca.crt", "-CAkey", "ca.key"],
        ...["-CAcreateserial", "-days", String(this.days), "-extfile", extensions],
        ...["-out", certificate],
      );
    } finally {
      for (const file of [extensions, request]) await Deno.remove(this.path(file)).catch(() => {});
    }
    print(Deno.stdout, `${this.path(certificate)}: the certificate of ${name}\n`);
  }

  /** Puts revoked certificates on a list, which is in the same file as the authority. */
  async revoke(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await Deno.writeTextFile(this.path("ca.conf"), SETTINGS);
    if (!await exists(this.path("index.txt"))) {
      await Deno.writeTextFile(this.path("index.txt"), "");
      await Deno.writeTextFile(this.path("crlnumber"), "01\n");
    }
    const ca = ["ca", "-config", "ca.conf", "-keyfile", "ca.key", "-cert", "ca.crt"];
    for (const name of names) {
      if (!await exists(this.path(`${name}.crt`))) {
        throw new ConfigError(`${this.path(`${name}.crt`)} does not exist`);
      }
      await this.#openssl(...ca, "-revoke", `${name}.crt`);
      await Deno.rename(this.path(`${name}.crt`), this.path(`${name}.crt.revoked`));
    }
    await this.#openssl(...ca, "-gencrl", "-out", "ca.crl");
    const text = await Deno.readTextFile(this.path("ca.crt"));
    const certificate = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----\n/.exec(text);
    const list = await Deno.readTextFile(this.path("ca.crl"));
    // A running node that looks at the file finds either the former list or the new one.
    await Deno.writeTextFile(this.path("ca.crt.new"), `${certificate?.[0] ?? text}${list}`);
    await Deno.rename(this.path("ca.crt.new"), this.path("ca.crt"));
    print(
      Deno.stdout,
      `${this.path("ca.crt")}: has the list of revoked certificates; give it to all nodes\n`,
    );
  }

  async #openssl(...args: string[]): Promise<void> {
    let output;
    try {
      output = await new Deno.Command("openssl", { args, cwd: this.folder }).output();
    } catch (error) {
      throw new ConfigError(`the program openssl is needed: ${errorText(error)}`);
    }
    if (output.success) return;
    const [reason = ""] = new TextDecoder().decode(output.stderr).trim().split("\n").slice(-1);
    throw new ConfigError(`openssl ${args[0]} failed: ${reason}`);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}

async function run(): Promise<ExitStatus> {
  const loaded = await loadOptions(program, Deno.args, localHost);
  if (loaded.help !== null) {
    print(Deno.stdout, loaded.help);
    return ExitStatus.SUCCESS;
  }
  const { options, operands: [folder, ...names] } = loaded;
  if (folder === undefined) throw new UsageError("no folder is given");
  const wrong = [...names, ...options.revoke].find((name) => !/^[\w:][\w.:-]*$/.test(name));
  if (wrong !== undefined) throw new UsageError(`'${wrong}' is not the name of a machine`);
  const reserved = names.find((name) => name === "ca");
  if (reserved !== undefined) throw new UsageError("'ca' is the name of the authority");
  const authority = new Authority(folder, options.days);
  await authority.create();
  // First, so that who is robbed of a certificate gets another one with the same command.
  await authority.revoke(options.revoke);
  for (const name of names) await authority.issue(name);
  return ExitStatus.SUCCESS;
}

async function main(): Promise<ExitStatus> {
  try {
    return await run();
  } catch (error) {
    return refuse(program, error);
  }
}

if (import.meta.main) Deno.exit(await main());
