/**
 * Tells people by mail how the cluster is, whenever that has changed.
 *
 * @module
 */

import type { CancelTimer, Environment } from "../network/environment.ts";
import { errorText } from "../network/log.ts";

/** A message for people. */
export interface Mail {
  readonly subject: string;
  readonly text: string;
}

/** Sends a message to all who are to be told. Rejects if that fails. */
export type SendMail = (mail: Mail) => Promise<void>;

/** How the cluster is. */
export interface Assessment {
  readonly severity: "OK" | "WARNING" | "PROBLEM";
  readonly summary: string;
}

/** What an alarm watches. */
export interface AlarmSubject {
  /** Name of the cluster. */
  readonly cluster: string;
  /** What is worth a message when it changes. */
  readonly situation: () => string;
  /** Finds out how the cluster is, with what takes time. */
  readonly assess: (callback: (assessment: Assessment) => void) => void;
}

/** Milliseconds before a change is told: a change rarely comes alone, or is soon over. */
const SETTLE_TIME = 5_000;
/** Milliseconds before a message that could not be sent is sent again. */
const RETRY_TIME = 600_000;

/** Sends messages, one after the other. Nothing waits for them. */
export class Alarm {
  readonly #env: Environment;
  readonly #subject: AlarmSubject;
  readonly #send: SendMail;
  /** The situation that people know. */
  #told: string;
  #failure: string | null = null;
  /** The situation of a message that could not be sent. */
  #tried: string | null = null;
  #busy = false;
  #cancelTimer: CancelTimer | null = null;
  #stopped = false;

  constructor(env: Environment, subject: AlarmSubject, send: SendMail) {
    this.#env = env;
    this.#subject = subject;
    this.#send = send;
    this.#told = subject.situation();
  }

  /** What people must know who look for messages in vain; `null` if the last one was sent. */
  get failure(): string | null {
    return this.#failure;
  }

  /** The situation may have changed. */
  changed(): void {
    const situation = this.#subject.situation();
    if (this.#busy || this.#stopped || situation === this.#told) return;
    if (this.#tried !== null && this.#tried !== situation) {
      // News are told soon, even if what was to be told before could not be sent.
      this.#tried = null;
      this.#cancelTimer?.();
      this.#cancelTimer = null;
    }
    this.#wait(SETTLE_TIME);
  }

  /** No more messages. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #wait(milliseconds: number): void {
    if (this.#cancelTimer !== null) return;
    this.#cancelTimer = this.#env.setTimer(milliseconds, () => {
      this.#cancelTimer = null;
      this.#tell();
    });
  }

  #tell(): void {
    const situation = this.#subject.situation();
    const changed = situation !== this.#told;
    if (!changed && this.#failure === null) return;
    this.#busy = true;
    this.#subject.assess(({ severity, summary }) => {
      const name = changed && severity !== "OK" ? ` (${this.#subject.cluster})` : "";
      const mail = { subject: `NEO monitoring: ${severity}${name}`, text: summary };
      this.#send(mail).then(() => {
        this.#told = situation;
        this.#tried = null;
        this.#failure = null;
      }, (error) => {
        this.#tried = situation;
        const date = new Date(this.#env.now() * 1000).toISOString();
        this.#failure = `e-mail could not be sent at ${date}: ${errorText(error)}`;
        this.#env.log.warning(this.#failure);
      }).then(() => {
        this.#busy = false;
        if (this.#stopped) return;
        if (this.#failure !== null) this.#wait(RETRY_TIME);
        this.changed();
      });
    });
  }
}
