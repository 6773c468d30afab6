import { createHmac } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { API_ROLE, WORKER_ROLE, type DatabaseRole } from '@app/contracts';
import pg from 'pg';

// Any fixed numbers; shown as `objid` in pg_locks.
const OWNER_LOCK = 7_678_466;
const SETUP_LOCK = OWNER_LOCK + 1;
// The lock of a killed process goes when the server sees its connection closed: moments, but not none.
const LOCK_WAIT_MS = 1_000;

/**
 * The owner is whoever holds a session lock on the server: PostgreSQL frees it when that process dies, so there is
 * nothing to go stale. A second process on the same directory uses the server and must not stop it.
 */
export async function takeOwnership(
  adminUrl: string,
  dataDir: string,
): Promise<{ owned: boolean; release(): Promise<void> }> {
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: 'posthorn owner',
    keepAlive: true,
  });
  // When the server goes away this connection ends with an error that nobody is waiting for.
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
  const actual = rows[0]?.data_directory ?? '';
  if ((await realpath(actual).catch(() => actual)) !== (await realpath(dataDir))) {
    await client.end();
    throw new Error(
      `The server that answers for ${dataDir} serves ${actual}: its postmaster.pid is not its own.`,
    );
  }
  const owned = await tryLock(client);
  if (!owned) await client.end();
  // The lock must live as long as the process; the process must not live as long as the lock.
  else socketOf(client).unref();
  const release = async (): Promise<void> => {
    socketOf(client).ref();
    await client.end().catch(() => {});
  };
  return { owned, release };
}

// Plain TCP here: the server has no TLS on loopback.
function socketOf(client: pg.Client): Socket {
  return client.connection.stream as Socket;
}

async function tryLock(client: pg.Client): Promise<boolean> {
  for (const end = Date.now() + LOCK_WAIT_MS; ; await delay(50)) {
    const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [
      OWNER_LOCK,
    ]);
    if (rows[0]?.locked) return true;
    if (Date.now() > end) return false;
  }
}

/** Idempotent, on every start: the process that made the cluster may have been killed before it got here. */
export async function ensureAppDatabase(adminUrl: () => string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl() });
  await client.connect();
  try {
    // The CREATE DATABASE of a killed starter runs on to its end; its session holds this lock until then.
    await client.query('SELECT pg_advisory_lock($1)', [SETUP_LOCK]);
    // Neither name nor password holds anything to escape: one is fixed, the other hexadecimal and made by us.
    const role = await client.query("SELECT 1 FROM pg_roles WHERE rolname = 'posthorn'");
    if (role.rowCount === 0) await client.query(`CREATE ROLE posthorn LOGIN PASSWORD '${password}'`);
    // api and worker log in as themselves: whoever has their session cannot become the owner.
    for (const name of [API_ROLE, WORKER_ROLE] as const) {
      const known = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [name]);
      if (known.rowCount === 0)
        await client.query(`CREATE ROLE ${name} LOGIN PASSWORD '${rolePassword(password, name)}'`);
      await client.query(`GRANT ${name} TO posthorn`);
    }
    const database = await client.query("SELECT 1 FROM pg_database WHERE datname = 'posthorn'");
    if (database.rowCount === 0) await client.query('CREATE DATABASE posthorn OWNER posthorn');
  } finally {
    await client.end();
  }
}

/** Derived, so a cluster of an older version needs nothing; the owner's password cannot be told from it. */
export function rolePassword(ownerPassword: string, role: DatabaseRole): string {
  return createHmac('sha256', ownerPassword).update(role).digest('hex');
}
