/**
 * The life of a master.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import type { Handlers } from "../network/handler.ts";
import { ConnectionLimiter, FIRST_RETRY_DELAY } from "../network/limiter.ts";
import { errorText } from "../network/log.ts";
import { acceptConnections, type Server } from "../network/server.ts";
import { ConfigError } from "../node/errors.ts";
import type { NodeMeasures } from "../node/measures.ts";
import { NodeType } from "../protocol/enums.ts";
import { type Address, formatAddress, nodeTypeOf, sameAddress } from "../protocol/nodes.ts";
import type { MasterOptions } from "./cluster.ts";
import type { MasterLink } from "./master_link.ts";
import { Primary } from "./primary.ts";
import { type KnownMaster, masterAddresses, type MasterContext, type Role } from "./role.ts";
import { Secondary } from "./secondary.ts";

/** Storages number partitions with 16 bits. */
const MAX_PARTITIONS = 1 << 16;

/**
 * A master of a cluster. It is a primary until it meets one that has precedence, and a secondary until
 * that one is lost. It keeps nothing: all a primary needs is learnt from storages when it begins.
 *
 * @example
 * ```ts ignore
 * const master = new Master(environment, {
 *   cluster: "example",
 *   bind: { host: "127.0.0.1", port: 10000 },
 *   masters: [],
 *   nid: null,
 *   partitions: 12,
 *   replicas: 1,
 *   autostart: 2,
 * });
 * await master.run(signal);
 * ```
 */
export class Master {
  readonly #env: Environment;
  readonly #options: MasterOptions;
  readonly #listening = Promise.withResolvers<Address>();
  readonly #over = Promise.withResolvers<void>();
  #role: Role | null = null;
  #server: Server | null = null;
  #saved = "";

  constructor(env: Environment, options: MasterOptions) {
    this.#env = env;
    this.#options = options;
    this.#listening.promise.catch(() => {});
    this.#over.promise.catch(() => {});
  }

  /** Where the master listens, once it does; rejects if it can't. */
  get address(): Promise<Address> {
    return this.#listening.promise;
  }

  /** The state of the node, for those who watch over it. */
  measure(): NodeMeasures {
    return this.#role?.measure() ?? { serving: false, cluster: null, values: {} };
  }

  /** Describes the state of the cluster, for the log. */
  dump(): string {
    return this.#role?.dump() ?? "the master does not listen yet";
  }

  /**
   * Works until the cluster is stopped by an operator, or the signal aborts.
   *
   * @throws {ConfigError} (a rejection) if the options can't work, or the address can't be listened
   * to.
   */
  async run(signal: AbortSignal): Promise<void> {
    let server;
    try {
      checkOptions(this.#options);
      signal.throwIfAborted();
      server = await this.#listen();
    } catch (error) {
      this.#listening.reject(error);
      if (signal.aborted) return;
      throw error;
    }
    const onAbort = () => this.#over.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      if (signal.aborted) return;
      this.#begin(server);
      await this.#over.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      // Storages keep their cells as they are when their master dies.
      this.#leaveRole();
      server.stop();
    }
  }

  async #listen(): Promise<Server> {
    const { bind, cluster, nid } = this.#options;
    this.#env.log.identify(cluster, nid);
    // The one of the role at the time of the message.
    const handler: Handlers<"RequestIdentification"> = {
      requestIdentification: (args, from) => {
        if (this.#role === null) return from.connection.close();
        return this.#role.handler.requestIdentification(args, from);
      },
    };
    let server;
    try {
      server = await acceptConnections(this.#env, {
        address: bind,
        handler,
        onClosed: (connection) => this.#role?.closed(connection),
      });
    } catch (error) {
      const text = `can't listen to ${formatAddress(bind)}: ${errorText(error)}`;
      throw new ConfigError(text, { cause: error });
    }
    this.#server = server;
    this.#env.log.info(`listening at ${formatAddress(server.address)}`);
    return server;
  }

  // Roles

  #begin(server: Server): void {
    const { address, connections } = server;
    const context: MasterContext = {
      env: this.#env,
      options: this.#options,
      address,
      limiter: new ConnectionLimiter(this.#env, FIRST_RETRY_DELAY),
      nid: this.#options.nid,
      clusterExists: false,
      connections,
      follow: (primary: Address, link: MasterLink | null) =>
        this.#enter((masters) => new Secondary(context, masters, primary, link)),
      lead: () => this.#enter((masters) => new Primary(context, masters)),
      mastersChanged: () => this.#saveMasters(),
      end: () => this.#over.resolve(),
      fail: (error) => this.#over.reject(error),
    };
    const configured = [...new Map(this.#options.masters.map((m) => [formatAddress(m), m]))];
    const others = configured.map(([, master]) => master)
      .filter((master) => !sameAddress(master, address));
    const first = new Primary(context, others.map((address) => ({ address, nid: null })));
    this.#role = first;
    first.begin();
    this.#saveMasters();
    this.#listening.resolve(address);
  }

  #enter(create: (masters: KnownMaster[]) => Role): void {
    // It has ended: what is still on its way changes nothing.
    if (this.#role === null) return;
    const masters = [...this.#role.nodes.list(NodeType.MASTER)];
    this.#leaveRole();
    const role = create(masters.map(({ address, nid }) => ({ address, nid })));
    this.#role = role;
    role.begin();
    this.#saveMasters();
  }

  /** Ends the role, and all connections that belong to it. Nobody reacts to their loss. */
  #leaveRole(): void {
    const role = this.#role;
    this.#role = null;
    role?.end();
    for (const connection of [...this.#server?.connections ?? []]) drop(connection);
  }

  #saveMasters(): void {
    if (this.#role === null) return;
    const masters = masterAddresses(this.#role.nodes);
    const text = masters.map(formatAddress).sort().join(" ");
    if (text === this.#saved) return;
    this.#saved = text;
    this.#options.saveMasters?.(masters);
  }
}

function drop(connection: Connection): void {
  connection.handler = {};
  connection.close();
}

function checkOptions({ nid, partitions, replicas, autostart }: MasterOptions): void {
  if (nid !== null && nodeTypeOf(nid) !== NodeType.MASTER) {
    throw new ConfigError(`nid ${nid} is not the id of a master`);
  }
  if (!Number.isSafeInteger(partitions) || partitions < 1) {
    throw new ConfigError("partitions must be more than zero");
  }
  if (partitions > MAX_PARTITIONS) {
    throw new ConfigError(`partitions must be at most ${MAX_PARTITIONS}: storages hold no more`);
  }
  if (!Number.isSafeInteger(replicas) || replicas < 0) {
    throw new ConfigError("replicas must be a positive integer");
  }
  if (autostart !== null && autostart < 1) throw new ConfigError("autostart must be at least 1");
}
