/**
 * Sending mail through a mail server.
 *
 * @module
 */

// @ts-types="./nodemailer.d.ts"
import { createTransport } from "npm:nodemailer@10.6.1";
import type { SendMail } from "./alarm.ts";

/** How to send mail. */
export interface MailOptions {
  /** The mail server; port `null` for the usual one. */
  readonly server: { readonly host: string; readonly port: number | null };
  /** Whether to insist on encryption; there is none otherwise. */
  readonly tls: boolean;
  readonly account: { readonly user: string; readonly password: string } | null;
  readonly sender: { readonly name: string; readonly address: string };
  readonly recipients: readonly string[];
}

/** Milliseconds without progress after which a mail server is given up. */
const PATIENCE = 30_000;

/** A way to send messages, each one to all recipients. */
export function mailer({ server, tls, account, sender, recipients }: MailOptions): SendMail {
  const transport = createTransport({
    host: server.host,
    port: server.port ?? 25,
    // How it introduces itself, without asking the system.
    name: sender.address.slice(sender.address.indexOf("@") + 1),
    secure: false,
    requireTLS: tls,
    ignoreTLS: !tls,
    connectionTimeout: PATIENCE,
    greetingTimeout: PATIENCE,
    socketTimeout: PATIENCE,
    ...account !== null && { auth: { user: account.user, pass: account.password } },
  });
  return async (mail) => {
    await transport.sendMail({ ...mail, from: sender, to: recipients });
  };
}
