/**
 * A node of a local cluster, as its main thread sees it.
 *
 * @module
 */

import type { Address } from "../protocol/nodes.ts";
import type { FromWorker, NodeSpec, ToWorker } from "./messages.ts";

/** Starts a node in a worker. */
export class NodeWorker {
  readonly name: string;
  /** The address it listens to; rejects if it ends before. */
  readonly listening: Promise<Address>;
  /** Its exit status. Never rejects. */
  readonly ended: Promise<number>;
  readonly #worker: Worker;

  constructor(spec: NodeSpec) {
    this.name = spec.name;
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), {
      type: "module",
      name: spec.name,
    });
    const listening = Promise.withResolvers<Address>();
    const ended = Promise.withResolvers<number>();
    this.listening = listening.promise;
    this.listening.catch(() => {});
    this.ended = ended.promise;
    const end = (status: number) => {
      listening.reject(new Error(`${this.name} could not start`));
      ended.resolve(status);
      this.#worker.terminate();
    };
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if ("listening" in data) listening.resolve(data.listening);
      else end(data.ended);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      console.error(`${this.name} failed: ${event.message}`);
      end(1);
    };
    this.#post({ start: spec });
  }

  /** Asks the node to end in good order. */
  stop(): void {
    this.#post({ stop: true });
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
