/** Connections to talk to, in a world without sockets. */

import { Connection, type ConnectionOptions } from "../../network/connection.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { openStream, Peer, quiet, type World, world } from "./support.ts";

export interface Scene extends World {
  readonly connection: Connection;
  readonly peer: Peer;
  /** Reasons that `onClosed` was called with. */
  readonly closings: (Error | null)[];
}

/** A connection that accepted a peer made of bare bytes, which said hello. */
export async function accepted(
  handler: object = {},
  options: Partial<ConnectionOptions> = {},
): Promise<Scene> {
  const here = world();
  const [near, far] = await openStream(here.env);
  const closings: (Error | null)[] = [];
  const peer = new Peer(near);
  const connection = new Connection(here.env, far, {
    connecting: false,
    handler,
    onClosed: (reason) => closings.push(reason),
    ...options,
  });
  peer.handshake();
  await quiet();
  return { ...here, connection, peer, closings };
}

/** Two connections that face each other. */
export async function connected(
  clientHandler: object,
  serverHandler: object,
): Promise<World & { client: Connection; server: Connection }> {
  const here = world();
  const [near, far] = await openStream(here.env);
  const client = new Connection(here.env, near, { connecting: true, handler: clientHandler });
  const server = new Connection(here.env, far, { connecting: false, handler: serverHandler });
  return { ...here, client, server };
}

export const errorText = (scene: Scene): string[] =>
  scene.peer.messages.filter(({ codec }) => codec.name === "Error")
    .map(({ id, args }) => `${id} ${ErrorCode[Number(args.code)]} ${args.message}`);
