import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import {
  destroyEmbeddedPostgres,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../libs/embedded-postgres/src/index.js';
import { migrate } from '../../libs/persistence/src/index.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser URL of this run's throw-away cluster. */
    adminUrl: string;
    /** The same cluster as the application's role, for the database whose name is put in place of `posthorn`. */
    appUrl: string;
    /** When the template was made, `YYYY-MM-DD` in UTC: its partitions reach a week from there. */
    templateDay: string;
  }
}

const TEMPLATE = 'posthorn_template';
const PREFIX = 'posthorn-test-';

/**
 * One real PostgreSQL per test run: started before the first file, deleted after the last, with a migrated template
 * that database.ts copies. What a killed run left behind is removed by the next one.
 */
export default async function startDatabase(project: TestProject): Promise<() => Promise<void>> {
  await removeLeftovers();
  const dataDir = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  // As root the server runs as another user, who must be able to enter.
  await chmod(dataDir, 0o711);
  try {
    const server = await startEmbeddedPostgres({ dataDir, durable: false, log: (line) => console.log(line) });
    project.provide('templateDay', new Date().toISOString().slice(0, 10));
    await makeTemplate(server);
    project.provide('adminUrl', server.adminUrl());
    project.provide('appUrl', server.url());
  } catch (error) {
    await destroyEmbeddedPostgres(dataDir);
    throw error;
  }
  return () => destroyEmbeddedPostgres(dataDir);
}

async function makeTemplate(server: EmbeddedPostgres): Promise<void> {
  const admin = new pg.Client({ connectionString: server.adminUrl() });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE} OWNER posthorn`);
  await migrate(server.url(TEMPLATE));
  // Nobody may connect from here on: a template with a session on it cannot be copied.
  await admin.query(`ALTER DATABASE ${TEMPLATE} ALLOW_CONNECTIONS false`);
  await admin.end();
}

async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]);
    if (!(pid > 0) || isAlive(pid)) continue;
    const directory = join(tmpdir(), name);
    const owner = await stat(directory).catch(() => null);
    if (owner?.uid === process.getuid?.()) await destroyEmbeddedPostgres(directory);
  }
}

function isAlive(pid: number): boolean {
  // Killed and not yet reaped (in a container perhaps never) is dead, though it still takes signals.
  if (process.platform === 'linux') return /\) [^ZX]/.test(readIfThere(`/proc/${pid}/stat`));
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
