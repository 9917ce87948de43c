/**
 * The program of the admin node.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-write --allow-env --allow-sys --allow-ffi admin/main.ts \
 *   --cluster test --masters 127.0.0.1:10000
 * ```
 *
 * | permission | for |
 * |---|---|
 * | `--allow-net` | listening to operators, connecting to masters; the control socket |
 * | `--allow-read` | configuration file, certificates, log database, control socket, list of masters |
 * | `--allow-write` | log database, control socket, list of masters; not needed without them |
 * | `--allow-env`, `--allow-sys` | the home directory, for paths that start with `~`; the sender of mails |
 * | `--allow-ffi` | real-time signals, which kill the process otherwise; not needed if nobody sends them |
 *
 * @module
 */

import { ConfigError } from "../node/errors.ts";
import { runNode } from "../node/process.ts";
import { neoadmin } from "../node/programs.ts";
import { ExitStatus } from "../node/supervise.ts";
import { knownMasters, openSurroundings } from "../node/surroundings.ts";
import { mailer } from "./mail.ts";
import { Admin } from "./mod.ts";

/** The address that mails come from. */
function senderAddress(): string {
  return Deno.env.get("EMAIL") ?? `${Deno.env.get("USER") ?? "neoadmin"}@${Deno.hostname()}`;
}

if (import.meta.main) {
  await runNode(neoadmin, async (options, log, signal) => {
    const unsupported = Object.entries({
      "monitor-backup": options.monitorBackup.length > 0,
    }).filter(([, given]) => given).map(([name]) => name);
    if (unsupported.length > 0) {
      throw new ConfigError(`${unsupported.join(" and ")} can't be used: not supported yet`);
    }
    const surroundings = await openSurroundings("neoadmin", options, log);
    const { cluster, bind, nid, monitorEmail, smtp, smtpTls, smtpAuth } = options;
    const admin = new Admin(surroundings.env, {
      cluster,
      bind,
      nid,
      masters: knownMasters(surroundings, options),
      saveMasters: surroundings.saveMasters,
      ...monitorEmail.length > 0 && {
        sendMail: mailer({
          server: smtp,
          tls: smtpTls,
          account: smtpAuth,
          sender: { name: `NEO ${cluster}`, address: senderAddress() },
          recipients: monitorEmail,
        }),
      },
    });
    surroundings.watch(() => admin.measure());
    log.describe = () => admin.dump();
    await admin.run(signal);
    return ExitStatus.SUCCESS;
  });
}
