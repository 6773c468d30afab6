/**
 * Real: PostgreSQL, and api, worker and cli as processes of their own. Proves: nothing starts without the keys of its
 * secrets, and says in one sentence what is missing without showing any key; `posthorn migrate` seals what was in plain
 * text, `posthorn keys rewrap` changes the key, and a backup from before needs the key it was made with.
 */
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureKeyFile, loadKeyring } from '@app/config';
import { newId, systemRandom } from '@app/domain';
import { endpointSecretsRepository, endpointsRepository, type Database } from '@app/persistence';
import { Keyring, newKekText, parseKeks } from '@app/sealing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase, registerSubscriber } from '../support/fixtures.js';
import { TEST_KEKS } from '../support/keks.js';
import { runCli } from '../support/processes.js';
import { runProcess } from '../support/running-process.js';

const OLD = newKekText(systemRandom);
const NEW = newKekText(systemRandom);
const [OLD_ID, NEW_ID] = [OLD, NEW].map((kek) => kek.split(':')[0]);
const ringOf = (...keks: string[]) => new Keyring(parseKeks(keks.join(',')), systemRandom);

let url: string;
let drop: () => Promise<void>;
/** As whoever owns the tables: what tests plant. */
let owner: Database;
let database: Database;
let dataDir: string;

beforeAll(async () => {
  ({ url, drop } = await createTestDatabase());
  owner = await openDatabase(url, 'owner', ringOf(OLD));
  database = await openDatabase(url, 'worker', ringOf(OLD));
  dataDir = await mkdtemp(join(tmpdir(), 'posthorn-keys-'));
});
afterAll(async () => {
  await owner.close();
  await database.close();
  await drop();
  await rm(dataDir, { recursive: true });
});

const environment = (env: Record<string, string>) => ({
  DATABASE_URL: url,
  DANGEROUS_ALLOW_LOSSY_DATABASE: 'true',
  POSTHORN_DATA_DIR: dataDir,
  PORT: '0',
  WORKER_PORT: '0',
  ...env,
});

/** Starts what must not start, and answers what it said. */
async function refused(entry: 'api' | 'worker', env: Record<string, string>): Promise<string> {
  const { code, output } = await runProcess(`apps/${entry}/src/main.js`, [], environment(env));
  expect(code).toBe(1);
  expect(output).toMatch(new RegExp(`^posthorn ${entry}: .*\\n$`));
  for (const kek of [OLD, NEW, TEST_KEKS]) expect(output).not.toContain(kek.split(':')[1].slice(0, 12));
  return output;
}

const rewrap = (keks: string, ...args: string[]) =>
  runCli(['keys', 'rewrap', ...args], environment({ POSTHORN_KEKS: keks }));

describe('a start', () => {
  it('needs keys, from POSTHORN_KEKS or the key file, and of the right form', async () => {
    for (const entry of ['api', 'worker'] as const) {
      expect(await refused(entry, {})).toMatch(
        /POSTHORN_KEKS is not set and there is no key file .*keks.*posthorn up/,
      );
      expect(await refused(entry, { POSTHORN_KEKS: OLD.slice(0, -4) })).toMatch(
        /POSTHORN_KEKS is wrong: key 1 must be 32 bytes/,
      );
    }
  });

  it('refuses a key file that others can read, and says how to mend it', async () => {
    const file = join(dataDir, 'keks');
    await writeFile(file, `${OLD}\n`, { mode: 0o640 });
    await chmod(file, 0o640);
    expect(await refused('worker', {})).toContain(
      `can be read by others (mode 640): run \`chmod 600 ${file}\``,
    );
    await writeFile(file, 'nonsense\n');
    await chmod(file, 0o600);
    expect(await refused('api', {})).toMatch(/key file .* is wrong: key 1 must begin with an id/);
    await rm(file);
  });

  it('refuses keys that do not open what is in the database: which id is missing, or is another key', async () => {
    await registerSubscriber(database, ['https://a.example.com/']);
    for (const entry of ['api', 'worker'] as const) {
      expect(await refused(entry, { POSTHORN_KEKS: NEW })).toContain(
        `under the key ${OLD_ID}, which this process is not given`,
      );
      const impostor = `${OLD_ID}:${NEW.split(':')[1]}`;
      expect(await refused(entry, { POSTHORN_KEKS: impostor })).toMatch(
        new RegExp(`The key ${OLD_ID} .* opens nothing`),
      );
    }
  });
});

describe('a key file', () => {
  it('is made once, for its owner alone, and is what a process then reads', async () => {
    const config = { POSTHORN_KEKS: null, POSTHORN_DATA_DIR: join(dataDir, 'fresh') };
    const made = await Promise.all([
      ensureKeyFile(config, systemRandom),
      ensureKeyFile(config, systemRandom),
    ]);
    const path = join(config.POSTHORN_DATA_DIR, 'keks');
    expect(made.filter((each) => each !== null)).toEqual([path]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const { primaryId } = await loadKeyring(config, systemRandom);
    expect(await ensureKeyFile(config, systemRandom)).toBeNull();
    expect((await loadKeyring(config, systemRandom)).primaryId).toBe(primaryId);
    expect(
      await ensureKeyFile(
        { ...config, POSTHORN_KEKS: OLD, POSTHORN_DATA_DIR: join(dataDir, 'x') },
        systemRandom,
      ),
    ).toBeNull();
  });
});

describe('posthorn migrate', () => {
  it('seals what was stored in plain text; without keys it says what is left', async () => {
    const { subscriberId, endpointIds, secret } = await registerSubscriber(database, [
      'https://b.example.com/',
    ]);
    const [endpointId] = endpointIds;
    const gone = await registerSubscriber(database, ['https://c.example.com/']);
    const plain = `whsec_${Buffer.alloc(32, 'plain').toString('base64')}`;
    const insert = `INSERT INTO endpoint_secrets (id, subscriber_id, endpoint_id, secret) VALUES ($1, $2, $3, $4)`;
    await owner.query(insert, [newId(Date.now(), systemRandom), subscriberId, endpointId, plain]);
    await owner.query(insert, [
      newId(Date.now(), systemRandom),
      gone.subscriberId,
      gone.endpointIds[0],
      plain,
    ]);
    await owner.query(`UPDATE endpoints SET headers = '{"X-Token": "plain"}' WHERE id = $1`, [endpointId]);
    // From before there were data keys, and from before it was deleted.
    await owner.query('DELETE FROM endpoint_secrets WHERE secret IS NULL AND subscriber_id = $1', [
      subscriberId,
    ]);
    await owner.query('DELETE FROM data_keys WHERE subscriber_id = ANY($1)', [
      [subscriberId, gone.subscriberId],
    ]);
    await owner.query('UPDATE subscribers SET deleted_at = now() WHERE id = $1', [gone.subscriberId]);

    const without = await runCli(['migrate'], environment({ POSTHORN_KEKS: '' }));
    expect(without.output).toContain(
      '2 signing secret(s) and the headers of 1 endpoint(s) are in plain text: set POSTHORN_KEKS',
    );
    const done = await runCli(['migrate'], environment({ POSTHORN_KEKS: OLD }));
    expect(done).toMatchObject({
      code: 0,
      output: expect.stringContaining('2 signing secret(s) sealed, headers of 1 endpoint(s) sealed'),
    });
    const live = await endpointSecretsRepository.live(database, subscriberId, endpointId);
    expect(live.map((each) => each.secret)).toEqual([plain]);
    expect(live[0].secret).not.toBe(secret);
    expect(await endpointsRepository.openHeaders(database, { id: endpointId, subscriberId })).toEqual({
      'X-Token': 'plain',
    });
    // Nobody can read those of the deleted one: destroyed, not sealed.
    expect(await owner.query('SELECT 1 FROM endpoint_secrets WHERE secret IS NOT NULL')).toEqual([]);
    expect((await runCli(['migrate'], environment({ POSTHORN_KEKS: OLD }))).output).not.toContain('sealed');
  });
});

describe('posthorn keys rewrap', () => {
  it('goes on where it was stopped, and a backup from before opens with the old key only', async () => {
    for (let n = 0; n < 5; n++) await registerSubscriber(database, [`https://d${n}.example.com/`]);
    const backup = await owner.query<{ id: string; kek_id: string; wrapped: Buffer }>(
      'SELECT subscriber_id AS id, kek_id, wrapped FROM data_keys',
    );
    expect((await rewrap(NEW)).output).toContain(`under the key ${OLD_ID}`);
    // One row is locked by somebody: the others are done first, and it is waited for.
    const locked = backup[0].id;
    const first = await owner.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM data_keys WHERE subscriber_id = $1 FOR UPDATE', [locked]);
      const running = rewrap(`${NEW},${OLD}`, '--batch', '2', '--json');
      const others = `SELECT count(*)::int AS n FROM data_keys WHERE kek_id = $1`;
      for (;;) {
        const [{ n }] = await owner.query<{ n: number }>(others, [NEW_ID]);
        if (n === backup.length - 1) return { running };
      }
    });
    const done = await first.running;
    expect(done.code).toBe(0);
    expect(done.output).toMatch(/rewrapped: 2 done, \d+ left\n/);
    expect(done.output).toContain(
      `{"primary":"${NEW_ID}","secrets":0,"headers":0,"rewrapped":${backup.length}}`,
    );
    expect((await rewrap(NEW)).output).toContain(`Nothing to do: everything is sealed under ${NEW_ID}.`);
    // Written before anything is done; the refused one did nothing.
    const acts = `SELECT actor_kind AS kind, object FROM audit_log WHERE action = 'data_key.rewrap'`;
    expect(await owner.query(acts)).toEqual([1, 2].map(() => ({ kind: 'cli', object: NEW_ID })));
    const report = await runCli(['doctor', '--json'], environment({ POSTHORN_KEKS: '' }));
    expect(report.output).toContain(`data keys are wrapped: ${backup.length} by ${NEW_ID}`);

    // The rows of the backup come back.
    for (const row of backup)
      await owner.query(
        'UPDATE data_keys SET kek_id = $2, wrapped = $3, rewrapped_at = NULL WHERE subscriber_id = $1',
        [row.id, row.kek_id, row.wrapped],
      );
    expect(await refused('api', { POSTHORN_KEKS: NEW })).toContain(
      `under the key ${OLD_ID}, which this process is not given`,
    );
    const both = await openDatabase(url, 'worker', ringOf(NEW, OLD));
    const rows = await both.query<{ subscriberId: string; endpointId: string }>(
      'SELECT subscriber_id AS "subscriberId", endpoint_id AS "endpointId" FROM endpoint_secrets JOIN data_keys USING (subscriber_id)',
    );
    expect(rows.length).toBeGreaterThan(5);
    for (const row of rows)
      expect(await endpointSecretsRepository.live(both, row.subscriberId, row.endpointId)).toMatchObject([
        { secret: expect.stringMatching(/^whsec_/) },
      ]);
    await both.close();
    expect((await rewrap(`${NEW},${OLD}`)).output).toContain(
      `${backup.length} data key(s) wrapped by ${NEW_ID}`,
    );
    expect((await runCli(['keys', 'list'], environment({ POSTHORN_KEKS: '' }))).code).toBe(0);
  });
});
