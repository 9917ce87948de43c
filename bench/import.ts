/**
 * Importing a Data.fs into a cluster of real processes.
 *
 * @module
 */

import { connect } from "../client/mod.ts";
import {
  type CopySummary,
  copyTransactions,
  FileSource,
  FileStorageWriter,
  NeoDestination,
} from "../filestorage/mod.ts";
import { addTid, tidFromTime, toOid } from "../protocol/ids.ts";
import { ProcessCluster, type ProcessClusterOptions } from "../tests/support/processes.ts";
import type { Figure } from "./report.ts";

const TRANSACTIONS = 2000;
const RECORDS = 10;
/** Objects that are written again and again. */
const OBJECTS = 5000;
/** Length of a record in bytes, half of which compress well, as pickles do. */
const LENGTH = 1000;

/** Writes a Data.fs as a site would have after a while. */
export async function writeDataFs(path: string, transactions = TRANSACTIONS): Promise<void> {
  await using writer = await FileStorageWriter.open(path);
  const start = tidFromTime(Date.UTC(2020, 0) / 1000);
  const description = new TextEncoder().encode("/site/folder/document/edit");
  const nothing = new Uint8Array(0);
  for (let n = 0; n < transactions; n++) {
    const tid = addTid(start, n * 1000);
    writer.begin({ tid, status: " ", user: nothing, description, extension: nothing });
    for (let i = 0; i < RECORDS; i++) {
      const data = new Uint8Array(LENGTH);
      crypto.getRandomValues(data.subarray(LENGTH / 2));
      writer.restore(toOid((n * RECORDS + i) * 7919 % OBJECTS), data);
    }
    writer.finish();
  }
}

async function importFile(path: string, uri: string): Promise<CopySummary> {
  const source = await FileSource.open(path);
  try {
    const destination = new NeoDestination(await connect(uri, { cacheSize: 0 }));
    try {
      return await copyTransactions(source, destination);
    } finally {
      await destination.close();
    }
  } finally {
    await source.close();
  }
}

/** Measures how fast a Data.fs of about 20 MB is imported. */
export async function measureImport(
  backend: string,
  databases: ProcessClusterOptions["databases"],
): Promise<Figure[]> {
  const path = await Deno.makeTempFile({ suffix: ".fs" });
  await using cluster = new ProcessCluster({ partitions: 12, databases }).start();
  try {
    await writeDataFs(path);
    // The time it takes the cluster to start does not count.
    await (await connect(cluster.uri)).close();
    const start = performance.now();
    const { transactions, bytes } = await importFile(path, cluster.uri);
    const seconds = (performance.now() - start) / 1000;
    return [
      { backend, what: "import of a Data.fs", value: bytes / seconds / 1e6, unit: "MB/s" },
      { backend, what: "import, transactions", value: transactions / seconds, unit: "/s" },
    ];
  } finally {
    for (const suffix of ["", ".lock"]) await Deno.remove(path + suffix);
  }
}
