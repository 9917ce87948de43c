/** A virtual network with nothing on it. */

import { VirtualClock } from "../../simulator/clock.ts";
import { Network, type NetworkOptions } from "../../simulator/network.ts";
import { Random } from "../../simulator/random.ts";
import type { Transport } from "../../network/transport.ts";

/** A network where each message takes about a millisecond. */
export function quietNetwork(options: Partial<NetworkOptions> = {}, seed = 1) {
  const clock = new VirtualClock();
  const network = new Network(
    clock,
    new Random(seed),
    { latency: 1, jitter: 0.2, fragmentation: 0, ...options },
    { tamper: (_, bytes) => [bytes], arrived: () => {} },
  );
  const pass = (milliseconds: number) => clock.run(clock.delay(milliseconds), Infinity, "time");
  return { clock, network, pass };
}

/** Reads a transport as text. */
export class Reader {
  text = "";
  /** Why it was closed, `undefined` as long as it is open. */
  end: Error | null | undefined;

  constructor(readonly transport: Transport) {
    transport.start({
      received: (chunk) => void (this.text += new TextDecoder().decode(chunk)),
      drained: () => {},
      closed: (reason) => void (this.end = reason),
    });
  }

  write(text: string): void {
    this.transport.write(new TextEncoder().encode(text));
  }
}

/** Opens a stream from host "a" to host "b". */
export async function openStream(world: ReturnType<typeof quietNetwork>) {
  const { clock, network } = world;
  const [a, b] = [network.port("a"), network.port("b")];
  const accepted = Promise.withResolvers<Reader>();
  await b.listen(
    { host: "b", port: 1 },
    (transport) => accepted.resolve(new Reader(transport)),
  );
  const opened = a.connect({ host: "b", port: 1 }).then((transport) => new Reader(transport));
  const near = await clock.run(opened, 1000, "a stream");
  return { a, b, near, far: await accepted.promise };
}
