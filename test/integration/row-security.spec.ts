/**
 * Real: PostgreSQL with its roles and policies, the api with its pools and its HTTP server. The second line: what a
 * caller sees is decided by the database, also where a query forgets to ask whose rows it may have.
 */
import { STAFF, type Scope } from '@app/contracts';
import { fromPublicId, newId, systemRandom } from '@app/domain';
import {
  acceptRepository,
  asSystem,
  inScopes,
  openDatabase as openAtStart,
  partitionsRepository,
  subscribersRepository,
  type Database,
} from '@app/persistence';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { testKeyring } from '../support/keks.js';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
/** As the api is, and as the worker. `owner` is fixture.api.database. */
let api: Database;
let worker: Database;
let owner: Database;
let ours: Fixture;
let theirs: Fixture;
let bound: Scope;

beforeAll(async () => {
  fixture = await startApi();
  owner = fixture.api.database;
  api = await openDatabase(fixture.databaseUrl, 'api');
  worker = await openDatabase(fixture.databaseUrl);
  ours = await registerSubscriber(worker, ['http://127.0.0.1:9/']);
  theirs = await registerSubscriber(worker, ['http://127.0.0.1:9/']);
  bound = { kind: 'subscriber', subscriberId: ours.subscriberId };
});
afterAll(async () => {
  await Promise.all([api?.close(), worker?.close()]);
  await fixture?.stop();
});
afterEach(() => void vi.restoreAllMocks());

const endpointsSeen = async (): Promise<string[]> =>
  (await api.query<{ id: string }>('SELECT subscriber_id AS id FROM endpoints ORDER BY 1')).map(
    ({ id }) => id,
  );
const both = () => [ours.subscriberId, theirs.subscriberId].toSorted();

describe('the catalogue', () => {
  // Tables, partitions too, and what shows their rows: each with what it lacks. Empty when all is well.
  const LACKING = `
    WITH held AS (
      SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.reloptions FROM pg_class c
       WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pgboss'::regnamespace)
         AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
         AND (c.relname = 'subscribers' OR c.relkind IN ('v', 'm')
              OR EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'subscriber_id' AND NOT a.attisdropped)))
    SELECT relname || ': ' || lack AS lack FROM (
      SELECT relname, 'ENABLE' AS lack FROM held WHERE relkind IN ('r', 'p') AND NOT relrowsecurity
      UNION ALL SELECT relname, 'FORCE' FROM held WHERE relkind IN ('r', 'p') AND NOT relforcerowsecurity
      UNION ALL SELECT relname, 'policy of ' || role FROM held, unnest(ARRAY['posthorn_api', 'posthorn_worker']) AS role
       WHERE relkind IN ('r', 'p') AND NOT EXISTS (
         SELECT 1 FROM pg_policy p WHERE p.polrelid = held.oid AND p.polcmd = '*' AND p.polroles = ARRAY[to_regrole(role)::oid]
            AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL
            AND (role = 'posthorn_worker' OR pg_get_expr(p.polqual, p.polrelid) ~ 'posthorn_scope_ids'))
      UNION ALL SELECT relname, 'no other policy' FROM held
       WHERE (SELECT count(*) FROM pg_policy p WHERE p.polrelid = held.oid) > 2
      UNION ALL SELECT relname, 'security_invoker' FROM held
       WHERE relkind = 'v' AND NOT coalesce(reloptions && ARRAY['security_invoker=true', 'security_invoker=on'], false)
      UNION ALL SELECT relname, 'no copy of rows' FROM held WHERE relkind IN ('m', 'f')
      UNION ALL SELECT relname, 'only through its parent, not by ' || role FROM held, unnest(ARRAY['posthorn_api', 'posthorn_worker']) AS role
       WHERE relispartition AND NOT (relname ~ '_default$' AND role = 'posthorn_worker' AND NOT has_table_privilege(role, oid, 'INSERT, UPDATE, DELETE'))
         AND has_table_privilege(role, oid, 'SELECT, INSERT, UPDATE, DELETE')
    ) l ORDER BY 1`;
  const lacking = async () => (await owner.query<{ lack: string }>(LACKING)).map(({ lack }) => lack);

  it('has every table of subscribers, and each partition, behind both policies', async () => {
    expect(await lacking()).toEqual([]);
  });

  it('is seen to lack it: a table, a view, a partition that somebody made by hand', async () => {
    await owner.query(`CREATE TABLE forgotten (subscriber_id uuid)`);
    await owner.query(`CREATE VIEW endpoints_seen AS SELECT * FROM endpoints`);
    await owner.query(`CREATE TABLE lanes_too (subscriber_id uuid)`);
    await owner.query(`SELECT posthorn_protect('lanes_too')`);
    await owner.query(`ALTER TABLE lanes_too NO FORCE ROW LEVEL SECURITY`);
    await owner.query(
      `CREATE TABLE events_by_hand PARTITION OF events FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0000-0000-0000-000000000001')`,
    );
    const found = await lacking();
    // The view shows the api what its owner sees: this is why it is named.
    const seen = await api.query('SELECT DISTINCT subscriber_id FROM endpoints_seen');
    await owner.query('DROP TABLE forgotten, lanes_too, events_by_hand');
    await owner.query('DROP VIEW endpoints_seen');
    expect(seen).toHaveLength(2);
    expect(found).toEqual(
      expect.arrayContaining([
        'forgotten: ENABLE',
        'forgotten: FORCE',
        'forgotten: policy of posthorn_api',
        'forgotten: policy of posthorn_worker',
        'endpoints_seen: security_invoker',
        'lanes_too: FORCE',
        'events_by_hand: ENABLE',
        'events_by_hand: only through its parent, not by posthorn_api',
      ]),
    );
    expect(await lacking()).toEqual([]);
  });

  it('has days protected that are made later, by the worker', async () => {
    const day = `to_char((now() AT TIME ZONE 'UTC')::date + 7, 'YYYYMMDD')`;
    const [{ name }] = await owner.query<{ name: string }>(`SELECT 'events_' || ${day} AS name`);
    await owner.query(`DROP TABLE ${name}`);
    expect(await partitionsRepository.createAhead(worker)).toBe(1);
    expect(await lacking()).toEqual([]);
    expect(await partitionsRepository.dropOldest(worker, 30)).toEqual([]);
  });

  it('drops no day for an owner who would see no pending delivery', async () => {
    const url = new URL(inject('adminUrl'));
    url.pathname = new URL(fixture.databaseUrl).pathname;
    const admin = new pg.Client({ connectionString: url.href });
    await admin.connect();
    // Never committed: the role belongs to all databases of the run.
    await admin.query('BEGIN');
    await admin.query('REVOKE posthorn_worker FROM posthorn');
    await expect(admin.query(`SELECT posthorn_drop_partitions(now()::date - 30)`)).rejects.toThrow(
      /posthorn is no member of posthorn_worker any more.*GRANT posthorn_worker TO posthorn/,
    );
    await admin.query('ROLLBACK');
    await admin.end();
  });

  it('knows roles that are nothing else and own nothing', async () => {
    const roles = await owner.query(
      `SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS above,
              EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid) AS member,
              EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid) OR EXISTS (SELECT 1 FROM pg_proc p WHERE p.proowner = r.oid) AS owns,
              has_schema_privilege(oid, 'public', 'CREATE') OR has_schema_privilege(oid, 'pgboss', 'CREATE') AS creates
         FROM pg_roles r WHERE rolname IN ('posthorn_api', 'posthorn_worker') ORDER BY 1`,
    );
    const nothing = { above: false, member: false, owns: false, creates: false };
    expect(roles).toEqual([
      { rolname: 'posthorn_api', ...nothing },
      { rolname: 'posthorn_worker', ...nothing },
    ]);
  });

  it('has no function that runs as the owner for everybody, or finds its names where a caller says', async () => {
    const loose = await owner.query(
      `SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
          AND (NOT coalesce(proconfig::text ~ 'search_path=public, pg_temp', false)
               OR has_function_privilege('posthorn_api', oid, 'EXECUTE'))`,
    );
    expect(loose).toEqual([]);
  });
});

describe('a role', () => {
  it('of the api sees no row without a scope, nor with one that is empty', async () => {
    expect(await endpointsSeen()).toEqual([]);
    expect(await inScopes([], endpointsSeen)).toEqual([]);
    expect(await asSystem(endpointsSeen)).toEqual(both());
    expect(await inScopes([bound], endpointsSeen)).toEqual([ours.subscriberId]);
    // T1 of two callers.
    const other: Scope = { kind: 'subscriber', subscriberId: theirs.subscriberId };
    expect(await inScopes([bound, other], endpointsSeen)).toEqual(both());
  });

  it('that owns a table is held by FORCE, and by nothing else', async () => {
    await owner
      .transaction(async (tx) => {
        await tx.query('CREATE TABLE owned (subscriber_id uuid)');
        await tx.query('INSERT INTO owned VALUES ($1)', [ours.subscriberId]);
        await tx.query(`SELECT posthorn_protect('owned')`);
        await tx.query('GRANT CREATE ON SCHEMA public TO posthorn_api');
        await tx.query('ALTER TABLE owned OWNER TO posthorn_api');
        await tx.query('SET LOCAL ROLE posthorn_api');
        expect(await tx.query('SELECT * FROM owned')).toEqual([]);
        await tx.query('ALTER TABLE owned NO FORCE ROW LEVEL SECURITY');
        expect(await tx.query('SELECT * FROM owned')).toHaveLength(1);
        throw new Error('undone');
      })
      .catch((error: Error) => expect(error.message).toBe('undone'));
  });

  it('writes nothing that is not of its scope', async () => {
    const insert = (subscriberId: string) =>
      api.query(
        `INSERT INTO notices (id, subscriber_id, endpoint_id, kind) VALUES ($1, $2, $1, 'endpoint.failing')`,
        [newId(Date.now(), systemRandom), subscriberId],
      );
    const refused = /violates row-level security policy/;
    await expect(insert(ours.subscriberId)).rejects.toThrow(refused);
    await expect(inScopes([bound], () => insert(theirs.subscriberId))).rejects.toThrow(refused);
    await inScopes([bound], () => insert(ours.subscriberId));
    await expect(
      inScopes([bound], () => api.query('UPDATE notices SET subscriber_id = $1', [theirs.subscriberId])),
    ).rejects.toThrow(refused);
    const update = `UPDATE endpoints SET description = 'taken' RETURNING subscriber_id AS id`;
    expect(await inScopes([bound], () => api.query(update))).toEqual([{ id: ours.subscriberId }]);
    const remove = 'DELETE FROM lanes WHERE subscriber_id = $1 RETURNING 1';
    expect(await inScopes([bound], () => api.query(remove, [theirs.subscriberId]))).toEqual([]);
  });

  it('sees staff’s own rows, which are of no subscriber, with every scope only', async () => {
    const staffs = () => api.query('SELECT 1 FROM api_keys WHERE subscriber_id IS NULL');
    expect(await inScopes([bound], staffs)).toEqual([]);
    expect(await inScopes([STAFF], staffs)).not.toEqual([]);
  });

  it('cannot change the audit log, what ran, or its own bounds, nor read a partition', async () => {
    const day = `to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')`;
    const [{ events }] = await owner.query<{ events: string }>(`SELECT 'events_' || ${day} AS events`);
    const refused: [Database, string][] = [
      ...[api, worker].flatMap((each) =>
        [
          `UPDATE audit_log SET actor = 'nobody'`,
          'DELETE FROM audit_log',
          'TRUNCATE audit_log',
          `DELETE FROM migrations`,
          `SELECT 1 FROM ${events}`,
          `INSERT INTO ${events} SELECT * FROM events`,
          'ALTER TABLE endpoints DISABLE ROW LEVEL SECURITY',
          'DROP POLICY of_scope ON endpoints',
          `CREATE TABLE mine (n integer)`,
          `SELECT posthorn_protect('endpoints')`,
          'SET SESSION AUTHORIZATION postgres',
          'SET ROLE postgres',
        ].map((sql): [Database, string] => [each, sql]),
      ),
      [api, 'SELECT 1 FROM events_default'],
      [api, 'SELECT posthorn_create_partitions(now()::date, now()::date, 1)'],
      [api, 'SELECT posthorn_drop_partitions(now()::date)'],
      [worker, 'INSERT INTO events_default SELECT * FROM events'],
    ];
    for (const [on, sql] of refused)
      await expect(
        asSystem(() => on.query(sql)),
        sql,
      ).rejects.toThrow(/permission denied|must be owner/);
    // It says that a policy is in the way; it does not take it out of the way.
    await expect(
      inScopes([bound], () =>
        api.transaction(async (tx) => {
          await tx.query('SET LOCAL row_security = off');
          return tx.query('SELECT 1 FROM endpoints');
        }),
      ),
    ).rejects.toThrow('would be affected by row-level security policy');
    // Set with the connection: RESET goes back to it.
    const [{ name }] = await api.transaction(async (tx) => {
      await tx.query('RESET ROLE');
      return tx.query<{ name: string }>('SELECT current_user AS name');
    });
    expect(name).toBe('posthorn_api');
  });
});

describe('the scope of a transaction', () => {
  /** More at once than there are connections, so that each has served somebody. */
  const onEvery = <T>(work: () => Promise<T>) => Promise.all(Array.from({ length: 30 }, work));

  it('is gone from every connection when it ends, well or not', async () => {
    const sql = 'SELECT id FROM endpoints';
    const ways: (() => Promise<unknown[]>)[] = [
      () => api.query(sql),
      () => api.prepared('row_security_probe', sql, []),
      () => api.transaction((tx) => tx.query(sql)),
      () => api.transaction((tx) => tx.manager.query(sql)),
      () => api.hotTransaction((tx) => tx.query(sql)),
    ];
    for (const way of ways) {
      await asSystem(() => onEvery(way)).then((all) => all.forEach((rows) => expect(rows).toHaveLength(2)));
      for (const rows of await onEvery(way)) expect(rows).toEqual([]);
      for (const rows of await inScopes([bound], () => onEvery(way))) expect(rows).toHaveLength(1);
      for (const rows of await onEvery(way)) expect(rows).toEqual([]);
    }
    const broken: (() => Promise<unknown>)[] = [
      () => api.query('SELECT 1/0'),
      () => api.prepared('row_security_broken', 'SELECT 1/0', []),
      () => api.transaction((tx) => tx.query('SELECT 1/0')),
      () => api.hotTransaction((tx) => tx.query('SELECT 1/0')),
    ];
    for (const way of broken) {
      await asSystem(() => onEvery(() => expect(way()).rejects.toThrow('division by zero')));
      for (const each of ways) for (const rows of await onEvery(each)) expect(rows).toEqual([]);
    }
    await asSystem(() =>
      onEvery(() => api.hotTransaction((tx) => tx.commitWith([() => tx.query('SELECT 1')]))),
    );
    for (const way of ways) for (const rows of await onEvery(way)) expect(rows).toEqual([]);
    const settings = await onEvery(() =>
      api.query<{ scope: string | null }>(`SELECT current_setting('posthorn.scope', true) AS scope`),
    );
    // What is left is '', not NULL: the policies take both for nobody.
    for (const [{ scope }] of settings) expect(scope ?? '').toBe('');
  });

  it('is widened for one look only', async () => {
    const look = () =>
      inScopes([bound], () =>
        api.hotTransaction(async (tx) => {
          const seen = async () => (await tx.query('SELECT 1 FROM endpoints')).length;
          return [await seen(), await tx.asSystem(seen), await seen()];
        }),
      );
    expect(await look()).toEqual([1, 2, 1]);
  });

  it('takes nothing that is no subscriber', () => {
    const scope: Scope = { kind: 'subscriber', subscriberId: `'; RESET ROLE; --` };
    expect(() => inScopes([scope], () => 1)).toThrow('Bug');
  });
});

describe('a bound key', () => {
  let key: string;
  let other: { id: string; externalId: string };
  beforeAll(async () => {
    const make = async (externalId: string) =>
      (await fixture.call('POST', '/v1/subscribers', { name: externalId, externalId })).body as typeof other;
    const own = await make('own');
    other = await make('other');
    ({ key } = await fixture.key(['admin'], own.id));
    await fixture.call('POST', '/v1/event-types', { name: 'thing.happened' });
  });

  it('gets no foreign row from queries that forgot whose they are, in reads and in changes with a body', async () => {
    const { find, list, lock } = subscribersRepository;
    const seen: (string | undefined)[] = [];
    vi.spyOn(subscribersRepository, 'list').mockImplementation(async (on, _scope, page) => {
      const everybody = await asSystem(() => list(on, STAFF, page));
      // The query is broken, indeed: only the context stands between.
      seen.push(...everybody.map(({ externalId }) => externalId ?? undefined));
      return list(on, STAFF, page);
    });
    const listed = await fixture.call('GET', '/v1/subscribers', undefined, { key });
    expect(seen).toEqual(expect.arrayContaining(['own', 'other']));
    expect(listed.body.data).toMatchObject([{ externalId: 'own' }]);

    vi.spyOn(subscribersRepository, 'find').mockImplementation((on, _scope, name) => find(on, STAFF, name));
    vi.spyOn(subscribersRepository, 'lock').mockImplementation((tx, _scope, name) => lock(tx, STAFF, name));
    for (const name of ['other', other.id]) {
      expect(await fixture.call('GET', `/v1/subscribers/${name}`, undefined, { key })).toMatchObject({
        status: 404,
      });
      const change = await fixture.call('PATCH', `/v1/subscribers/${name}`, { name: 'taken' }, { key });
      expect(change).toMatchObject({ status: 404 });
    }
    // Staff, in between and at once: nobody gets the other's scope.
    const mixed = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        fixture.call(
          'PATCH',
          '/v1/subscribers/other',
          { metadata: { n: String(n) } },
          n % 2 === 0 ? { key } : {},
        ),
      ),
    );
    expect(mixed.map(({ status }) => status)).toEqual(mixed.map((_, n) => (n % 2 === 0 ? 404 : 200)));
  });

  it('has T1 look for its own subscribers only, unless others publish in the same group', async () => {
    const resolve = vi.spyOn(acceptRepository, 'resolveSubscribers');
    const publish = (to: string, options = {}) =>
      fixture.call('POST', '/v1/events', { subscriber: to, type: 'thing.happened', data: {} }, options);
    expect(await publish('other', { key })).toMatchObject({
      status: 400,
      body: { code: 'unknown_subscriber' },
    });
    expect(await resolve.mock.results[0].value).toEqual([]);
    expect((await publish('own', { key })).status).toBe(202);
    expect((await publish('other')).status).toBe(202);
    // An id is taken whoever has it: the answer is the same as for one's own.
    const id = (await publish('other')).body.id as string;
    const again = { subscriber: 'own', type: 'thing.happened', data: {}, id };
    expect(await fixture.call('POST', '/v1/events', again, { key })).toMatchObject({
      status: 409,
      body: { code: 'event_id_in_use' },
    });
    expect(await worker.query('SELECT 1 FROM events WHERE id = $1', [fromPublicId('evt', id)])).toHaveLength(
      1,
    );
  });
});

describe('a start', () => {
  const asAdmin = async (...statements: string[]) => {
    const client = new pg.Client({ connectionString: inject('adminUrl') });
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
  };
  const start = async (url: string) => {
    const warnings: string[] = [];
    const database = await openAtStart({
      url,
      applicationName: 'test',
      poolMax: 5,
      role: 'posthorn_api',
      warn: (sentence) => void warnings.push(sentence),
      allowLossy: true,
      keyring: testKeyring(),
      waitMs: 500,
    });
    await database.close();
    return warnings;
  };
  const login = `login_${process.pid}`;
  const urlOf = (user: string): string => {
    const url = new URL(fixture.databaseUrl);
    url.username = user;
    url.password = 'secret';
    return url.href;
  };
  beforeAll(() => asAdmin(`CREATE ROLE ${login} LOGIN PASSWORD 'secret'`));
  afterAll(() => asAdmin(`DROP ROLE ${login}`));

  it('warns of a login that could leave its role, and is silent for one that could not', async () => {
    expect(await start(fixture.databaseUrl)).toEqual([
      expect.stringMatching(/logs in as posthorn.*owner of tables/),
    ]);
    expect(
      await start(inject('adminUrl').replace(/\/[^/]*$/, new URL(fixture.databaseUrl).pathname)),
    ).toEqual([expect.stringMatching(/logs in as postgres.*a superuser/)]);
    await asAdmin(`GRANT posthorn_api TO ${login}`);
    expect(await start(urlOf(login))).toEqual([]);
  });

  it('refuses a login that may not take the role, and a URL that takes it away', async () => {
    await asAdmin(`REVOKE posthorn_api FROM ${login}`);
    await expect(start(urlOf(login))).rejects.toThrow(/may not become posthorn_api.*GRANT posthorn_api/);
    const url = new URL(fixture.databaseUrl);
    url.searchParams.set('options', '-c timezone=UTC');
    await expect(start(url.href)).rejects.toThrow(/is posthorn and not posthorn_api/);
  });
});
