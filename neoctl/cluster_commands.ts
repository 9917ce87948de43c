/**
 * Commands that change the cluster as a whole.
 *
 * @module
 */

import { InvalidValueError } from "../node/errors.ts";
import { ClusterState } from "../protocol/enums.ts";
import { type Action, type Command, told } from "./command.ts";
import { CommandError } from "./errors.ts";
import { parseClusterState, parseTid } from "./values.ts";
import { untilServing, untilServingAgain, untilStopped } from "./waiting.ts";

function setClusterState(state: ClusterState): Action {
  return async (admin) => {
    const result = told(await admin.order("SetClusterState", { state }));
    const done = DONE.get(state);
    return done === undefined ? result : { ...result, done };
  };
}

/** How to wait for states. */
const DONE = new Map([
  [ClusterState.VERIFYING, untilServing],
  [ClusterState.STOPPING, untilStopped],
]);

const cluster: Command = {
  usage: "STATE",
  help:
    "Ask for another state of the cluster: verifying (start it), stopping, starting_backup or " +
    "stopping_backup. The change may come later.",
  parse(args) {
    const state = args.required("STATE", parseClusterState);
    args.end();
    return setClusterState(state);
  },
};

function parseReplicas(text: string): number {
  if (/^-\d+$/.test(text)) throw new CommandError("invalid number of replicas");
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidValueError(`'${text}' is not a number of replicas: expected 0, 1, 2…`);
}

const replicas: Command = {
  usage: "NUMBER",
  help:
    "Set the number of copies of the data, in addition to the first. Nothing moves until 'tweak'.",
  parse(args) {
    const replicas = args.required("NUMBER", parseReplicas);
    args.end();
    return async (admin) => ({
      ...told(await admin.order("SetNumReplicas", { replicas })),
      note: "nothing moves until 'neoctl tweak'",
    });
  },
};

/** The commands after `set`. */
export const SET_COMMANDS = { cluster, replicas };

/** Starts the cluster. */
export const start: Command = {
  usage: "",
  help: "Start the cluster with the storages that are there (same as 'set cluster verifying').",
  parse(args) {
    args.end();
    return setClusterState(ClusterState.VERIFYING);
  },
};

/** Forgets the end of history. */
export const truncate: Command = {
  usage: "TID",
  help: "Remove all transactions after TID, which is kept. This can't be undone.",
  parse(args) {
    const tid = args.required("TID", parseTid);
    args.end();
    return async (admin) => {
      const message = await admin.order("Truncate", { tid });
      return {
        output: null,
        json: { message },
        note: "truncation was ordered; it needs all storages",
        done: untilServingAgain,
      };
    };
  },
};

/** Makes all nodes write their logs. */
export const flushLog: Command = {
  usage: "",
  help: "Make all nodes write the log that they keep in memory.",
  parse(args) {
    args.end();
    return async (admin) => {
      // The notification has no answer: whether anybody gets it must be asked for.
      await admin.ask("AskPrimary", {});
      await admin.notify("FlushLog", {});
      return { output: null, json: {} };
    };
  },
};
