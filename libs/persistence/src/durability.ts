import type { Database } from './database.js';

// unnest with several arrays in FROM, MERGE and the behaviour of partitions are what we rely on since then.
const SERVER_VERSION_MIN = 150_000;

/**
 * Why this database would lose accepted events in a crash, or null when it would not. Every process asks at start
 * and refuses, unless DANGEROUS_ALLOW_LOSSY_DATABASE says that the operator knows.
 */
export async function checkDurability(database: Database): Promise<string | null> {
  const [row] = await database.query<{ fsync: string; commit: string }>(
    `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit`,
  );
  const off = [row.fsync === 'off' && 'fsync', row.commit === 'off' && 'synchronous_commit'].filter(Boolean);
  if (off.length === 0) return null;
  return `PostgreSQL runs with ${off.join(' and ')} = off, so a crash would lose events that were answered 202. Turn it on, or set DANGEROUS_ALLOW_LOSSY_DATABASE=true to accept that.`;
}

/** Why this server is too old, or null when it is not. */
export async function checkServerVersion(database: Database): Promise<string | null> {
  const [row] = await database.query<{ number: number; version: string }>(
    `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version`,
  );
  if (row.number >= SERVER_VERSION_MIN) return null;
  return `PostgreSQL ${row.version} is too old: Posthorn needs 15 or later.`;
}
