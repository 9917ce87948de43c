import assert from "node:assert/strict";
import { mailer, type MailOptions } from "../../admin/mail.ts";

/** A mail server that says yes, and remembers what it was told. */
class MailServer implements Disposable {
  readonly lines: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  constructor(readonly refusal: string | null = null) {
    this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) this.#talk(connection).catch(() => {});
  }

  async #talk(connection: Deno.Conn): Promise<void> {
    const say = (text: string) => connection.write(new TextEncoder().encode(`${text}\r\n`));
    await say("220 test");
    let data = false;
    let rest = "";
    for await (const chunk of connection.readable.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.lines.push(line);
        if (data) {
          if (line !== ".") continue;
          data = false;
          await say("250 taken");
        } else if (line.startsWith("EHLO")) await say("250 test");
        else if (line === "DATA") {
          data = true;
          await say("354 go on");
        } else if (line.startsWith("RCPT") && this.refusal !== null) await say(this.refusal);
        else if (line === "STARTTLS") await say("502 unknown command");
        else await say(line === "QUIT" ? "221 bye" : "250 yes");
      }
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

function options(port: number, tls = false): MailOptions {
  return {
    server: { host: "127.0.0.1", port },
    tls,
    account: null,
    sender: { name: "NEO test", address: "neo@example.org" },
    recipients: ["one@example.org", "two@example.org"],
  };
}

const MAIL = { subject: "NEO monitoring: OK", text: "RUNNING; lag=ε" };

Deno.test("mailer() sends one message to all recipients", async () => {
  using server = new MailServer();
  await mailer(options(server.port))(MAIL);
  const expected = [
    "EHLO example.org",
    "MAIL FROM:<neo@example.org>",
    "RCPT TO:<one@example.org>",
    "RCPT TO:<two@example.org>",
    "From: NEO test <neo@example.org>",
    "To: one@example.org, two@example.org",
    "Subject: NEO monitoring: OK",
  ];
  for (const line of expected) assert.ok(server.lines.includes(line), line);
  assert.match(server.lines.join("\n"), /charset=utf-8/);
});

Deno.test("mailer() rejects when the server refuses, has no encryption or is away", async () => {
  using server = new MailServer("550 no such user");
  await assert.rejects(mailer(options(server.port))(MAIL), /no such user/);
  await assert.rejects(mailer(options(server.port, true))(MAIL), /STARTTLS/i);
  await assert.rejects(mailer(options(1))(MAIL), /ECONNREFUSED/);
});
