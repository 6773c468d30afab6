// Real: the server binaries, a cluster on disk, signals, a terminal-like process group. Each test is one way in
// which a database that comes with the program usually fails its user.
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import {
  destroyEmbeddedPostgres,
  findEmbeddedPostgres,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from './index.js';
import { clusterIn } from './init-cluster.js';
import { boundLogs, LOG_BYTES_MAX } from './log-bound.js';

let dataDir: string;
let lines: string[];

beforeAll(async () => (dataDir = await freshDirectory()));
afterAll(() => destroyEmbeddedPostgres(dataDir));

// A space, a quote and a dollar: nothing may go through a shell. The prefix: the next run removes what a kill left.
async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `posthorn-test-${process.pid}- $HOME "-`));
  // As root the server runs as another user, who must be able to enter.
  await chmod(directory, 0o711);
  return directory;
}

async function start(): Promise<EmbeddedPostgres> {
  lines = [];
  return startEmbeddedPostgres({ dataDir, durable: true, log: (line) => lines.push(line) });
}

/** Or killed and not yet reaped: it takes signals still, and nothing else. */
async function isDead(pid: number): Promise<boolean> {
  if (process.platform === 'linux')
    return !/\) [^ZX]/.test(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''));
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

test('starts durable, closed to the outside, for a role without power; keeps port and data', async () => {
  const first = await start();
  expect(first).toMatchObject({ reused: false, owned: true });
  const [settings] = await ask(
    first.url(),
    `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit, current_setting('TimeZone') AS zone,
            current_setting('listen_addresses') AS listen, current_setting('jit') AS jit,
            current_setting('server_encoding') AS encoding, datlocale, pg_get_userbyid(datdba) AS owner,
            (SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication FROM pg_roles WHERE rolname = current_user) AS power
       FROM pg_database WHERE datname = current_database()`,
  );
  expect(settings).toEqual({
    fsync: 'on',
    commit: 'on',
    zone: 'UTC',
    listen: '127.0.0.1',
    jit: 'off',
    encoding: 'UTF8',
    datlocale: 'C.UTF-8',
    owner: 'posthorn',
    power: false,
  });
  expect(await ask(first.adminUrl(), 'SHOW unix_socket_directories')).toEqual([
    { unix_socket_directories: '' },
  ]);
  await expect(ask(first.url().replace(/:[0-9a-f]+@/, ':wrong@'), 'SELECT 1')).rejects.toMatchObject({
    code: '28P01',
  });
  expect((await stat(join(dataDir, 'postgres', 'cluster', 'passwords.json'))).mode & 0o777).toBe(0o600);
  await ask(first.url(), 'CREATE TABLE kept AS SELECT 42 AS n');
  await first.stop();
  await expect(ask(first.url(), 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);

  const second = await start();
  expect(second).toMatchObject({ reused: false, port: first.port });
  expect(await ask(second.url(), 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
  await second.stop();
});

test('a second process shares the server and does not stop it', async () => {
  const first = await start();
  const second = await start();
  expect(second).toMatchObject({ reused: true, owned: false, pid: first.pid });
  await second.stop();
  expect(await ask(first.url(), 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  await first.stop();
});

test('a command beside it finds the server at once, and none when none runs', async () => {
  const first = await start();
  expect(await findEmbeddedPostgres(dataDir)).toBe(first.url());
  await first.stop();
  expect(await findEmbeddedPostgres(dataDir)).toBeNull();
  expect(await findEmbeddedPostgres(join(dataDir, 'nothing here'))).toBeNull();
});

test('a log that grew too large is set aside while the server runs, which goes on in a new one', async () => {
  const server = await start();
  const paths = clusterIn(join(dataDir, 'postgres'));
  const raise = (times: number) =>
    ask(
      server.adminUrl(),
      `DO $$ BEGIN FOR n IN 1..${times} LOOP RAISE LOG '%', repeat('.', 1000000); END LOOP; END $$`,
    );
  const logs = async () => {
    const names = (await readdir(paths.logDir)).filter((name) => name.startsWith('server-'));
    return Promise.all(names.map(async (name) => (await stat(join(paths.logDir, name))).size));
  };
  await raise(1);
  await boundLogs(paths, server.pid);
  await expect(stat(join(paths.logDir, 'older.log'))).rejects.toMatchObject({ code: 'ENOENT' });

  await raise(21);
  await vi.waitFor(async () => expect(Math.max(...(await logs()))).toBeGreaterThan(LOG_BYTES_MAX), 10_000);
  await boundLogs(paths, server.pid);
  expect((await stat(join(paths.logDir, 'older.log'))).size).toBeGreaterThan(LOG_BYTES_MAX);
  await raise(1);
  await vi.waitFor(async () => expect(Math.max(0, ...(await logs()))).toBeGreaterThan(0), 10_000);
  expect(Math.max(...(await logs()))).toBeLessThan(LOG_BYTES_MAX);
  await server.stop();
});

test('two starts at the same moment make one server', async () => {
  const [first, second] = await Promise.all([start(), start()]);
  expect(first.pid).toBe(second.pid);
  expect([first, second].filter(({ owned }) => owned)).toHaveLength(1);
  await Promise.all([first.stop(), second.stop()]);
});

test('kill -9 of the server: the next start recovers what was committed, in spite of a backend that lives on', async () => {
  const first = await start();
  const spinning = ask(first.url(), 'DO $$ BEGIN LOOP END LOOP; END $$').catch(() => 'lost');
  await ask(first.url(), 'CREATE TABLE committed AS SELECT 7 AS n');
  const spins = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'";
  await vi.waitFor(async () => expect(await ask(first.adminUrl(), spins)).toHaveLength(1), 10_000);
  process.kill(first.pid, 'SIGKILL');
  // Until then it is a server like any other, which takes connections and breaks them.
  await vi.waitFor(async () => expect(await isDead(first.pid)).toBe(true), 10_000);

  const second = await start();
  expect(second.reused).toBe(false);
  expect(lines.join()).toContain('outlived its server');
  expect(await spinning).toBe('lost');
  expect(await ask(second.url(), 'SELECT n FROM committed')).toEqual([{ n: 7 }]);
  await second.stop('immediate');
});

test('a pid file that names a dead process, or another program, does not stop a start', async () => {
  const sleeper = spawn('sleep', ['60'], { stdio: 'ignore' });
  for (const pid of [4_000_000, sleeper.pid!, process.pid]) {
    const pidFile = join(dataDir, 'postgres', 'cluster', 'data', 'postmaster.pid');
    await writeFile(pidFile, `${pid}\n${dataDir}\n1\n5432\n\n127.0.0.1\n0 0\nready   \n`);
    const server = await start();
    expect(server.reused).toBe(false);
    await server.stop();
  }
  sleeper.kill();
});

test('a remembered port that is taken is replaced', async () => {
  const first = await start();
  await first.stop();
  const { createServer } = await import('node:net');
  const squatter = createServer().listen(first.port, '127.0.0.1');
  const second = await start();
  expect(second.port).not.toBe(first.port);
  await second.stop();
  squatter.close();
});

test('an initdb that was interrupted is done again', async () => {
  const other = await freshDirectory();
  // Closed, as a start by root leaves it when it is killed before it gave it to the server's user.
  await mkdir(join(other, 'postgres'), { mode: 0o700 });
  await mkdir(join(other, 'postgres', 'initdb-abc', 'data', 'base'), { recursive: true });
  const said: string[] = [];
  const server = await startEmbeddedPostgres({
    dataDir: other,
    durable: false,
    log: (line) => said.push(line),
  });
  expect(said.join()).toContain('interrupted');
  await server.stop('immediate');
  await destroyEmbeddedPostgres(other);
  await expect(stat(other)).rejects.toMatchObject({ code: 'ENOENT' });
});

test.runIf(process.getuid?.() === 0)('as root, in a folder closed to the server’s user', async () => {
  const closed = await freshDirectory();
  await chmod(closed, 0o700);
  const options = { dataDir: closed, durable: false, log: () => {} };
  const first = await startEmbeddedPostgres(options);
  const home = await readlink(join(closed, 'postgres'));
  expect(home).toMatch(/^\/var\/lib\/posthorn\/data-/);
  await ask(first.url(), 'CREATE TABLE kept AS SELECT 42 AS n');
  await first.stop();

  const second = await startEmbeddedPostgres(options);
  expect(await ask(second.url(), 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
  expect(await findEmbeddedPostgres(closed)).toBe(second.url());
  await second.stop('immediate');
  await destroyEmbeddedPostgres(closed);
  await expect(stat(home)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('Ctrl-C leaves the server to its owner; kill -9 of the owner leaves a server that the next start adopts', async () => {
  const first = await start();
  // The group leader of a terminal's foreground job gets what Ctrl-C sends; the server is in another session.
  const session = (await readFile(`/proc/${first.pid}/stat`, 'utf8')).split(') ')[1].split(' ')[3];
  expect(session).toBe(String(first.pid));

  // A connection that ends without goodbye is all the server sees of a killed owner.
  const [owner] = await ask(
    first.adminUrl(),
    "SELECT pg_terminate_backend(pid), pid FROM pg_stat_activity WHERE application_name = 'posthorn owner'",
  );
  expect(owner).toMatchObject({ pg_terminate_backend: true });
  const second = await start();
  expect(second).toMatchObject({ reused: true, owned: true, pid: first.pid, port: first.port });
  await second.stop();
});
