/**
 * Asking the primary master what became of transactions.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Tid } from "../protocol/ids.ts";

/** A question without answer. */
interface Question {
  readonly answer: Promise<Tid | null>;
  /** Called at the place of the answer. */
  readonly listeners: ((tid: Tid | null) => void)[];
}

/** The questions of one session. A master takes each of them once, and answers when it knows. */
export class FinalTids {
  readonly #connection: Connection;
  readonly #questions = new Map<Tid, Question>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Asks, unless that was done.
   *
   * @param listener is called with the answer before any later message is handled.
   * @returns the tid, `null` if it was not committed, `MAX_TID` if storage nodes have to be asked.
   * @throws {ConnectionClosed} (a rejection) if the master is lost before.
   */
  ask(ttid: Tid, listener: (tid: Tid | null) => void): Promise<Tid | null> {
    const asked = this.#questions.get(ttid);
    if (asked !== undefined) {
      asked.listeners.push(listener);
      return asked.answer;
    }
    const listeners = [listener];
    const answer = new Promise<Tid | null>((resolve, reject) =>
      this.#connection.request("AskFinalTID", { ttid }, ({ tid }) => {
        this.#questions.delete(ttid);
        for (const told of listeners) told(tid);
        resolve(tid);
      }, (error) => {
        this.#questions.delete(ttid);
        reject(error);
      })
    );
    this.#questions.set(ttid, { answer, listeners });
    // Whoever asked may not be interested any more.
    answer.catch(() => {});
    return answer;
  }
}
