/**
 * The parts of a client that its transactions and reads share.
 *
 * @module
 */

import type { Tracer } from "../network/tracer.ts";
import type { Objects } from "./objects.ts";
import type { PrimaryLink } from "./primary_link.ts";
import type { Reads } from "./reads.ts";
import type { Settings } from "./options.ts";
import type { StorageLinks } from "./storage_links.ts";
import type { View } from "./view.ts";

/** The parts of a client. */
export interface Services {
  readonly settings: Settings;
  readonly view: View;
  readonly primary: PrimaryLink;
  readonly storages: StorageLinks;
  readonly reads: Reads;
  readonly objects: Objects;
  readonly tracer?: Tracer;
}
