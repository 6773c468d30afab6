// Real: `posthorn up` as a person runs it, its own PostgreSQL, api and worker, signals, kill -9, curl.
//
//   first start ── key, curl line ──▶ event ── Ctrl-C ──▶ nothing is left
//   second start: same event, no key ── doctor, keys, a second up ── children and server killed: they come back
//   kill -9 of everything ──▶ third start: same event
//   beside all this, in a data directory of its own: --demo, whose third attempt is due after up to a minute
//
// Proves that one command is enough, that it leaves nothing behind, and that nothing it was told is lost.
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { destroyEmbeddedPostgres } from '../../libs/embedded-postgres/src/index.js';
import { builtFile } from '../support/child.js';
import { createClient, type PosthornClient } from '../support/client.js';
import { createTestDatabase } from '../support/database.js';
import { leaks } from '../support/leak-watch.js';
import { runCli } from '../support/processes.js';

const WAIT_MS = 60_000;
const KEY = /ph_live_\w+_[\w-]+/;

/** `posthorn up`, and what it has printed. In a process group of its own, as in a terminal. */
class Up {
  output = '';
  readonly exited: Promise<number | string>;
  private readonly child: ChildProcess;
  private wake: () => void = () => {};

  constructor(dataDir: string, args: string[] = [], env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [builtFile('apps/cli/src/main.js'), 'up', ...args], {
      env: environment(dataDir, env),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const watched = leaks.output('the output of posthorn up', ['api key']);
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        watched(text);
        this.output += text;
        this.wake();
      });
    this.exited = new Promise((resolve) =>
      this.child.once('close', (code, signal) => resolve(code ?? signal!)),
    );
    void this.exited.then(() => this.wake());
  }

  get pid(): number {
    return this.child.pid!;
  }

  get apiUrl(): string {
    return /Swagger UI {2}(\S+)\/docs/.exec(this.output)![1];
  }

  /** Waits until the output matches, `after` being where to begin looking. */
  async says(what: RegExp, { after = 0, timeoutMs = WAIT_MS } = {}): Promise<RegExpExecArray> {
    const overdue = delay(timeoutMs, 'overdue', { ref: false });
    for (;;) {
      const woken = new Promise<void>((resolve) => (this.wake = resolve));
      const found = what.exec(this.output.slice(after));
      if (found) return found;
      const next = await Promise.race([woken, overdue]);
      if (next === 'overdue' || this.child.exitCode !== null)
        throw new Error(`up did not say ${what} but:\n${this.output}`);
    }
  }

  async endsWell(): Promise<void> {
    const code = await this.exited;
    if (code !== 0) throw new Error(`up ended with ${code}:\n${this.output}`);
  }

  ready(): Promise<unknown> {
    return this.says(/Ctrl-C stops everything/);
  }

  /** To the whole group, as a terminal does it. */
  signal(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }
}

let dataDir: string;
let demoDir: string;
let demo: Up;
const started: Up[] = [];

beforeAll(async () => {
  [dataDir, demoDir] = [await freshDirectory(), await freshDirectory()];
  demo = up(demoDir, ['--demo']);
});

afterAll(async () => {
  for (const one of started) if (one.pid) spawnSync('kill', ['-KILL', String(one.pid)]);
  try {
    for (const directory of [dataDir, demoDir]) await watchDirectory(directory);
    await leaks.verdict();
  } finally {
    for (const directory of [dataDir, demoDir]) await destroyEmbeddedPostgres(directory);
  }
});

describe('one data directory through its life', () => {
  let key: string;
  let eventId: string;
  let running: Up;

  test('the first start prints Swagger UI, the key and a curl line, in this order, and the line works', async () => {
    running = up(dataDir);
    await running.ready();
    const places = [/\/docs/, KEY, /^curl .*$/m].map((each) => running.output.search(each));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
    key = KEY.exec(running.output)![0];

    const accepted = await publishWith(/^curl .*$/m.exec(running.output)![0]);
    expect(accepted).toMatchObject({ id: expect.stringMatching(/^evt_/) });
    eventId = accepted.id;
    expect((await fetch(`${running.apiUrl}/docs`)).status).toBe(200);
  });

  test('Ctrl-C, twice, ends everything with 0, PostgreSQL last', async () => {
    const pids = await allPids(dataDir, running);
    running.signal('SIGINT');
    running.signal('SIGINT');
    await running.endsWell();
    expect(running.output).toMatch(/stopping.*\n· stopped\n$/s);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(join(dataDir, 'up.json'))).toBe(false);
  });

  test('a signal in the middle of the start ends it as well', async () => {
    const short = up(dataDir);
    await short.says(/starting PostgreSQL/);
    short.signal('SIGTERM');
    await short.endsWell();
    expect(existsSync(postmasterPidFile(dataDir))).toBe(false);
  });

  test('the second start keeps the event and prints no key; its curl line takes the key from the environment', async () => {
    running = up(dataDir);
    await running.ready();
    expect(running.output).not.toMatch(/ph_live_/);
    expect(await client().get(`/v1/events/${eventId}`)).toMatchObject({
      id: eventId,
      type: 'example.greeted',
    });
    const again = await publishWith(/^curl .*$/m.exec(running.output)![0], { POSTHORN_KEY: key });
    expect(again).toMatchObject({ id: expect.stringMatching(/^evt_/) });
  });

  test('a second up on the same data says so and leaves the first alone', async () => {
    const second = await cli(['up']);
    expect(second).toMatchObject({
      code: 1,
      output: expect.stringContaining(`already runs on ${dataDir} (pid ${running.pid})`),
    });
    expect((await fetch(`${running.apiUrl}/health/ready`)).status).toBe(200);
  });

  test('doctor, migrate and keys find the database by themselves', async () => {
    const report = await cli(['doctor', '--json']);
    expect(report).toMatchObject({ code: 0 });
    expect(JSON.parse(report.output)).toMatchObject({ ok: true, checks: expect.any(Array) });
    expect(await cli(['migrate'])).toMatchObject({ code: 0, output: 'The database is up to date.\n' });

    const create = [
      'keys',
      'create',
      '--name',
      'shop',
      '--scope',
      'deliveries:read',
      '--subscriber',
      'example',
    ];
    const made = JSON.parse((await cli([...create, '--expires', '30d', '--json'])).output) as {
      id: string;
      key: string;
    };
    const shop = createClient({ url: running.apiUrl, key: made.key });
    expect((await shop.request('GET', '/v1/deliveries')).status).toBe(200);
    expect((await shop.request('GET', '/v1/subscribers')).status).toBe(403);

    const list = await cli(['keys', 'list']);
    expect(list.output).toContain(`${made.id}  shop  [deliveries:read] only sub_`);
    expect(list.output).not.toContain(made.key);

    // Its new text, and for a day the old one too.
    const rotated = (await cli(['keys', 'rotate', made.id, '--overlap', '1d'])).output;
    const renewed = createClient({ url: running.apiUrl, key: /^ph_live_\S+$/m.exec(rotated)?.[0] ?? '' });
    for (const each of [shop, renewed])
      expect((await each.request('GET', '/v1/deliveries')).status).toBe(200);
    expect((await cli(['keys', 'rotate', made.id, '--overlap', '8d'])).code).toBe(1);

    expect(await cli(['keys', 'revoke', made.id])).toMatchObject({ code: 0 });
    await expect
      .poll(async () => (await shop.request('GET', '/v1/deliveries')).status, { timeout: 5000 })
      .toBe(401);
    expect(await cli(['keys', 'revoke', 'key_nonsense'])).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^posthorn: There is no key/),
    });
    expect((await cli(['keys', 'create', '--name', 'x', '--scope', 'everything'])).code).toBe(1);

    const admin = createClient({ url: running.apiUrl, key });
    const { data } = await admin.get<{ data: { action: string; actor: object }[] }>(
      `/v1/audit-log?object=${made.id}`,
    );
    expect(data.map(({ action }) => action)).toEqual(['api_key.revoke', 'api_key.rotate', 'api_key.create']);
    for (const { actor } of data) expect(actor).toEqual({ kind: 'cli', id: userInfo().username });
  }, 90_000);

  test('what dies is started again: worker, api on its old port, PostgreSQL', async () => {
    const before = running.output.length;
    for (const child of (await runFile(dataDir)).children) process.kill(child.pid, 'SIGKILL');
    await running.says(/api runs again/, { after: before });
    await running.says(/worker runs again/, { after: before });
    process.kill(await postmasterPid(dataDir), 'SIGKILL');
    await running.says(/PostgreSQL runs again/, { after: before });
    await expect
      .poll(async () => (await client().request('GET', `/v1/events/${eventId}`)).status, { timeout: 20_000 })
      .toBe(200);
  });

  test('after kill -9 of everything it starts again with all data', async () => {
    const pids = await allPids(dataDir, running);
    for (const pid of pids) killIfThere(pid);
    await running.exited;
    running = up(dataDir);
    await running.ready();
    expect(await client().get(`/v1/events/${eventId}`)).toMatchObject({ id: eventId });
  });

  test('after kill -9 of up alone the next one waits for what is left, on the same port', async () => {
    const port = new URL(running.apiUrl).port;
    process.kill(running.pid, 'SIGKILL');
    await running.exited;
    running = up(dataDir, [], { PORT: port });
    await running.ready();
    expect(await client().get(`/v1/events/${eventId}`)).toMatchObject({ id: eventId });
    const pids = await allPids(dataDir, running);
    running.signal('SIGTERM');
    await running.endsWell();
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test('without a running up the commands say what to do, in one sentence', async () => {
    const list = await cli(['keys', 'list']);
    expect(list).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^posthorn: DATABASE_URL is not set and no `posthorn up` runs.*\n$/),
    });
    expect(await cli(['doctor'])).toMatchObject({ code: 2 });
  });

  function client(): PosthornClient {
    return createClient({ url: running.apiUrl, key });
  }
});

describe('refusals', () => {
  test('a taken port', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    const port = await new Promise<number>((resolve) =>
      other.once('listening', () => resolve((other.address() as AddressInfo).port)),
    );
    const refused = await cli(['up'], { PORT: String(port) });
    other.close();
    expect(refused.code).toBe(1);
    expect(refused.output).toBe(
      `posthorn: Port ${port} on 127.0.0.1 is taken by another program: stop it, or set PORT to a free one (0 takes any).\n`,
    );
  });

  test('a wrong variable, a database that is away, a URL that is none: one line each, no password', async () => {
    const wrong: Record<string, string>[] = [
      { RETENTION_DAYS: 'many' },
      { DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/nothing' },
      { DATABASE_URL: 'mysql://u:hunter2@127.0.0.1/nothing' },
    ];
    for (const env of wrong) {
      const { code, output } = await cli(['up'], env);
      expect(code).toBe(1);
      expect(output).toMatch(/^posthorn: .*\n$/);
      expect(output).not.toMatch(/hunter2|\.js:/);
    }
  });

  test('a database that may lose commits, unless that is allowed; then DATABASE_URL works like the embedded one', async () => {
    // This run's cluster has fsync off.
    const database = await createTestDatabase();
    const env = { DATABASE_URL: database.url };
    const refused = await cli(['up'], env);
    expect(refused).toMatchObject({
      code: 1,
      output: expect.stringMatching(/fsync and synchronous_commit = off.*DANGEROUS_ALLOW/),
    });

    const external = up(dataDir, [], { ...env, DANGEROUS_ALLOW_LOSSY_DATABASE: 'true' });
    await external.ready();
    await publishWith(/^curl .*$/m.exec(external.output)![0]);
    expect(existsSync(postmasterPidFile(dataDir))).toBe(false);
    expect(await cli(['keys', 'list'])).toMatchObject({
      code: 1,
      output: expect.stringContaining('uses a DATABASE_URL'),
    });
    expect((await cli(['keys', 'list'], env)).output).toMatch(/^key_\w+ {2}admin /);
    external.signal('SIGTERM');
    await external.endsWell();
    await database.drop();
  });
});

test(
  '--demo delivers a dozen different events, one at its third attempt, each signature verified',
  { timeout: 150_000 },
  async () => {
    await demo.says(/Publish more to/, { timeoutMs: 140_000 });
    const arrivals = [
      ...demo.output.matchAll(
        /^[\d:.]{12} {2}(\S+) +(evt_\w+) {2}attempt (\d) {2}answered (\d+) {2}signature verified ✓$/gm,
      ),
    ];
    const attempts = arrivals.map(([, type, id, attempt, answered]) => ({ type, id, attempt, answered }));
    expect(attempts).toHaveLength(14);
    expect(new Set(attempts.map(({ type }) => type)).size).toBe(12);
    expect(new Set(attempts.map(({ id }) => id)).size).toBe(12);
    expect(
      attempts
        .filter(({ type }) => type === 'invoice.paid')
        .map(({ attempt, answered }) => `${attempt}:${answered}`),
    ).toEqual(['1:503', '2:503', '3:200']);
    expect(attempts.filter(({ answered }) => answered === '200')).toHaveLength(12);
    expect(demo.output).toContain('Posthorn has 12 of 12 deliveries on record as delivered');
    expect(demo.output).toContain('invoice.paid is delivered after 3 attempts');

    demo.signal('SIGTERM');
    await demo.endsWell();
  },
);

/** What `posthorn up` keeps on disk: two files are for secrets, and no log may know them. */
async function watchDirectory(directory: string): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  const read = (name: string) => readFile(join(directory, name), 'utf8');
  for (const name of names) {
    if (name === 'keks') leaks.environment({ POSTHORN_KEKS: await read(name) });
    if (name.endsWith('passwords.json'))
      for (const password of Object.values(JSON.parse(await read(name)) as object))
        leaks.remember('credential', String(password));
    if (/\.log(\.1)?$/.test(name)) leaks.outputOf(name, () => read(name));
  }
}

function up(directory: string, args?: string[], env?: Record<string, string>): Up {
  const one = new Up(directory, args, env);
  started.push(one);
  return one;
}

function cli(args: string[], env: Record<string, string> = {}): ReturnType<typeof runCli> {
  // The keys are those of the data directory, not the constant one of other tests.
  return runCli(args, { POSTHORN_KEKS: '', ...(environment(dataDir, env) as Record<string, string>) });
}

/** Nothing of the developer's shell decides what is seen here. */
function environment(directory: string, env: Record<string, string>): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, TMPDIR, POSTHORN_DATA_DIR: directory, PORT: '0', WORKER_PORT: '0', ...env };
}

/** The prefix: the next run removes what a kill left behind. As root the server runs as another user, who must get in. */
async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `posthorn-test-${process.pid}-`));
  await chmod(directory, 0o711);
  return directory;
}

/** As pasted into a shell; on a machine without curl, the same request. */
async function publishWith(line: string, env: Record<string, string> = {}): Promise<{ id: string }> {
  const hasCurl = spawnSync('sh', ['-c', 'command -v curl']).status === 0;
  if (hasCurl) {
    const { stdout } = await promisify(execFile)('sh', ['-c', line], {
      env: { PATH: process.env['PATH'], ...env },
    });
    return JSON.parse(stdout) as { id: string };
  }
  const [, url, authorization, body] = /^curl -sS (\S+) -H "Authorization: ([^"]+)" .* -d '(.*)'$/.exec(
    line,
  )!;
  const bearer = authorization.replace(/\$(\w+)/, (_, name: string) => env[name]);
  const headers = { authorization: bearer, 'content-type': 'application/json' };
  return (await fetch(url, { method: 'POST', headers, body })).json() as Promise<{ id: string }>;
}

async function runFile(directory: string): Promise<{ pid: number; children: { pid: number }[] }> {
  return JSON.parse(await readFile(join(directory, 'up.json'), 'utf8')) as {
    pid: number;
    children: { pid: number }[];
  };
}

async function allPids(directory: string, { pid }: Up): Promise<number[]> {
  const children = (await runFile(directory)).children.map((child) => child.pid);
  expect(children).toHaveLength(2);
  return [pid, ...children, await postmasterPid(directory)];
}

async function postmasterPid(directory: string): Promise<number> {
  return Number((await readFile(postmasterPidFile(directory), 'utf8')).split('\n')[0]);
}

function postmasterPidFile(directory: string): string {
  return join(directory, 'postgres/cluster/data/postmaster.pid');
}

/** Whose parent was killed before it may have ended by itself a moment ago. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A zombie that this machine's init does not reap is gone. */
function isAlive(pid: number): boolean {
  if (process.platform === 'linux') return /^\d+ \(.*\) [^ZX]/.test(readIfThere(`/proc/${pid}/stat`));
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
