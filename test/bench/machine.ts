import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { dirname } from 'node:path';
import pg from 'pg';
import type { EmbeddedPostgres } from '../../libs/embedded-postgres/src/index.js';
import { isInMemory } from './scratch.js';
import { round } from './statistics.js';

export type MachineFacts = Record<string, string | number | null>;

/** Without these a number cannot be compared with another. */
export async function machineFacts(cluster: EmbeddedPostgres | undefined): Promise<MachineFacts> {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? null,
    memoryGb: round(totalmem() / 1e9, 1),
    loadAverage1m: round(loadavg()[0], 2),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    ...(await databaseFacts(cluster)),
  };
}

async function databaseFacts(cluster: EmbeddedPostgres | undefined): Promise<MachineFacts> {
  if (cluster === undefined) return { postgres: null };
  const client = new pg.Client({ connectionString: cluster.adminUrl() });
  await client.connect();
  try {
    const { rows } = await client.query<MachineFacts>(
      `SELECT current_setting('server_version') AS postgres, current_setting('fsync') AS fsync,
              current_setting('synchronous_commit') AS "synchronousCommit", current_setting('data_directory') AS directory`,
    );
    const { directory, ...facts } = rows[0];
    return { ...facts, storage: (await isInMemory(dirname(String(directory)))) ? 'tmpfs' : 'disk' };
  } finally {
    await client.end();
  }
}
