/**
 * The end of a transaction, and finding out how it ended.
 *
 * @module
 */

import { ConnectionClosed, ErrorAnswer } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { MAX_TID, type Tid } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import { fromAnswer } from "./answers.ts";
import { NEOPrimaryMasterLost, UnknownOutcomeError } from "./errors.ts";
import type { Services } from "./services.ts";
import { abortable } from "./waiting.ts";
import type { Writes } from "./writes.ts";

/**
 * Commits a transaction that was voted.
 *
 * `onCommitted` is called once if it is committed: at the moment it becomes visible, unless the
 * master is lost meanwhile.
 *
 * @throws {NEOStorageError} if nodes failed since the vote: nothing was committed.
 * @throws {NEOPrimaryMasterLost} if the master was lost, and nothing was committed.
 * @throws {UnknownOutcomeError} if it was interrupted.
 */
export async function finish(
  services: Services,
  writes: Writes,
  onCommitted: (tid: Tid) => void,
  signal: AbortSignal | undefined,
): Promise<Tid> {
  const { view } = services;
  const { session, ttid, written } = writes;
  const partitions = (...kinds: Parameters<Writes["oids"]>) => {
    return [...new Set(writes.oids(...kinds).map((oid) => session.partitionOf(oid)))];
  };
  const finished = new Promise<Tid>((resolve, reject) =>
    session.connection.request(
      "AskFinishTransaction",
      {
        ttid,
        // Deleted objects too: other clients must not go on seeing them.
        oids: writes.oids("store", "delete"),
        deleted: partitions("delete"),
        checked: partitions("check"),
        pack: writes.pack,
      },
      ({ tid }) => {
        // First: this is the outcome, whatever fails here.
        resolve(tid);
        view.committed(tid, written, onCommitted);
      },
      reject,
    )
  );
  let refusal: ErrorAnswer | null = null;
  try {
    return await abortable(finished, signal);
  } catch (error) {
    if (signal?.aborted) throw new UnknownOutcomeError(ttid, { cause: error });
    // A protocol error may also be a failure of the master, at any point of the commit.
    if (error instanceof ErrorAnswer && error.code === ErrorCode.PROTOCOL_ERROR) refusal = error;
    else if (!(error instanceof ConnectionClosed)) throw fromAnswer(error);
  }
  let tid;
  try {
    tid = await finalTid(
      services,
      ttid,
      (tid) => view.recovered(tid, written, onCommitted),
      signal,
    );
  } catch (error) {
    throw new UnknownOutcomeError(ttid, { cause: error });
  }
  if (tid !== null) return tid;
  if (refusal !== null) throw fromAnswer(refusal);
  throw new NEOPrimaryMasterLost();
}

/**
 * The tid of a transaction whose commit was asked for, `null` if it was not committed. `committed` is
 * called at the place of the answer.
 */
export async function finalTid(
  { primary, reads }: Services,
  ttid: Tid,
  committed: (tid: Tid) => void,
  signal: AbortSignal | undefined,
): Promise<Tid | null> {
  const told = (tid: Tid | null) => {
    if (tid !== null && tid !== MAX_TID) committed(tid);
  };
  for (;;) {
    const { finalTids } = await primary.ready(signal);
    try {
      const tid = await abortable(finalTids.ask(ttid, told), signal);
      if (tid !== MAX_TID) return tid;
      break;
    } catch (error) {
      if (!(error instanceof ConnectionClosed)) throw fromAnswer(error);
    }
  }
  // It was committed long enough ago for the master not to know: storage nodes do.
  const decode = ({ tid }: AnswerArgsOf<"AskFinalTID">) => {
    told(tid);
    return tid;
  };
  return await abortable(
    reads.read({ partition: ttid, name: "AskFinalTID", args: { ttid }, decode, signal }),
    signal,
  );
}
