/** The part of nodemailer that is used here. Its usual types would replace those of Node in Deno. */

/** How to reach a mail server. */
export interface TransportOptions {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly secure: boolean;
  readonly requireTLS: boolean;
  readonly ignoreTLS: boolean;
  readonly connectionTimeout: number;
  readonly greetingTimeout: number;
  readonly socketTimeout: number;
  readonly auth?: { readonly user: string; readonly pass: string };
}

/** A message. */
export interface Message {
  readonly from: { readonly name: string; readonly address: string };
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

/** A way to a mail server. */
export interface Transport {
  sendMail(message: Message): Promise<unknown>;
}

export function createTransport(options: TransportOptions): Transport;
