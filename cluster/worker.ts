/**
 * One node of a local cluster, in a Web Worker.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Admin } from "../admin/mod.ts";
import { Master } from "../master/mod.ts";
import type { Environment } from "../network/environment.ts";
import { errorText } from "../network/log.ts";
import { realEnvironment } from "../network/real.ts";
import { ConsoleLog } from "../node/console_log.ts";
import type { ControlSocket } from "../node/control_socket.ts";
import { denoTracer } from "../node/deno_tracer.ts";
import { ConfigError } from "../node/errors.ts";
import { NodeLog } from "../node/node_log.ts";
import { openControl } from "../node/process.ts";
import { ExitStatus, supervise } from "../node/supervise.ts";
import { DatabaseError, openDatabase } from "../storage/database/mod.ts";
import { Storage } from "../storage/mod.ts";
import type { FromWorker, NodeSpec, ToWorker } from "./messages.ts";

const stop = new AbortController();

function post(message: FromWorker): void {
  self.postMessage(message);
}

function create(spec: NodeSpec, env: Environment, log: NodeLog): Master | Storage | Admin {
  const { cluster, bind, masters } = spec;
  switch (spec.type) {
    case "master": {
      const { partitions, replicas, storages } = spec;
      return new Master(env, {
        cluster,
        bind,
        masters,
        nid: null,
        partitions,
        replicas,
        autostart: storages,
      });
    }
    case "storage": {
      const { adapter, database, nid } = spec;
      return new Storage(env, {
        cluster,
        bind,
        masters,
        nid,
        newNid: false,
        disablePack: false,
        openDatabase: async () => {
          try {
            return await openDatabase(adapter, {
              database,
              wait: 0,
              engine: null,
              dedup: false,
              reset: false,
              disableDropPartitions: false,
              log: (level, message) => log[level](message),
            });
          } catch (error) {
            if (!(error instanceof DatabaseError)) throw error;
            throw new ConfigError(error.message, { cause: error });
          }
        },
      });
    }
    case "admin":
      return new Admin(env, { cluster, bind, masters, nid: null });
  }
}

async function run(spec: NodeSpec): Promise<void> {
  const { name } = spec;
  const { level, path, maxSize, keep, format, control } = spec.log;
  let log: NodeLog;
  let socket: ControlSocket | null = null;
  try {
    log = new NodeLog({
      name,
      database: path && `${path}.${name}`,
      maxSize,
      keep,
      console: new ConsoleLog(level, format),
    });
    if (control !== null) socket = await openControl(`${control}.${name}`, log);
  } catch (error) {
    console.error(`${name}: ${errorText(error)}`);
    return post({ ended: ExitStatus.FAILURE });
  }
  const ended = await supervise(log, async () => {
    const node = create(
      spec,
      realEnvironment({ log, tracer: await denoTracer(spec.cluster) }),
      log,
    );
    log.describe = () => node.dump();
    node.address.then((listening) => post({ listening }), () => {});
    await node.run(stop.signal);
    return ExitStatus.SUCCESS;
  });
  socket?.close();
  post({ ended });
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if ("start" in data) run(data.start);
  else stop.abort(new Error("stopped"));
};
