import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { loadConfig } from '@app/config';
import { BATCH_BODY_BYTES_MAX, type ApiScope } from '@app/contracts';
import { fromPublicId, systemClock, systemRandom } from '@app/domain';
import { ApiKeys } from '@app/endpoints';
import { createLogger } from '@app/observability';
import { createApi, type Api, type ApiOverrides } from '../../apps/api/src/create-api.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';
import { TEST_KEKS } from '../support/keks.js';

export const ADMIN_KEY = 'ph_test_admin_0123456789abcdef0123456789';

/** Config of an api over this database; the test cluster runs without fsync, and says so. */
export function configFor(url: string, more: NodeJS.ProcessEnv = {}) {
  return loadConfig({
    DATABASE_URL: url,
    PORT: '0',
    POSTHORN_ADMIN_KEY: ADMIN_KEY,
    POSTHORN_ALLOW_CIDRS: '127.0.0.0/8',
    POSTHORN_ALLOW_HOSTS: '*.example,*.test',
    POSTHORN_KEKS: TEST_KEKS,
    DANGEROUS_ALLOW_LOSSY_DATABASE: 'true',
    LOG_LEVEL: 'silent',
    // Tests of wrong keys are many, and all from one address.
    POSTHORN_RATE_LIMIT_AUTHENTICATION: '0',
    POSTHORN_RATE_LIMIT_TEST: '0',
    ...more,
  });
}

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  // oxlint-disable-next-line no-explicit-any
  body: any;
}

/** A running api over a database of its own, and what a test says to it. */
export interface ApiFixture {
  /** Its `database` is the owner's: what a test looks at and prepares is not of one caller. */
  api: Api;
  databaseUrl: string;
  /** Lines that the api logged. */
  lines: Record<string, unknown>[];
  call(
    method: string,
    path: string,
    body?: unknown,
    options?: { key?: string; headers?: Record<string, string> },
  ): Promise<Reply>;
  /** A new key with these scopes; `boundTo` is a `sub_…`. */
  key(scopes: ApiScope[], boundTo?: string): Promise<{ id: string; key: string }>;
  stop(): Promise<void>;
}

/** A batch that is announced to the api and does not come. */
export function announceBatch({ api }: ApiFixture): { socket: Socket; answer: Promise<string> } {
  const socket = connect(api.port, '127.0.0.1').on('error', () => undefined);
  const answer = once(socket, 'data').then(String, () => '');
  socket.write(
    `POST /v1/events/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ADMIN_KEY}\r\n` +
      `content-type: application/json\r\ncontent-length: ${BATCH_BODY_BYTES_MAX}\r\nexpect: 100-continue\r\n\r\n`,
  );
  return { socket, answer };
}

export async function startApi(
  env: NodeJS.ProcessEnv = {},
  overrides: ApiOverrides = {},
): Promise<ApiFixture> {
  const database = await createTestDatabase();
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({ level: 'info', process: 'api' });
  for (const level of ['info', 'warn', 'error'] as const)
    logger[level] = ((fields: object, message: string) =>
      void lines.push({ ...fields, level, message })) as never;
  const running = await createApi(configFor(database.url, env), { logger, ...overrides });
  const api = { ...running, database: await openDatabase(database.url, 'owner') };
  return {
    api,
    databaseUrl: database.url,
    lines,
    async call(method, path, body, { key = ADMIN_KEY, headers = {} } = {}) {
      const request: RequestInit = {
        method,
        headers: {
          ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body:
          body === undefined
            ? undefined
            : typeof body === 'string' || body instanceof Uint8Array
              ? body
              : JSON.stringify(body),
      };
      const response = await fetch(api.url + path, request);
      const text = await response.text();
      const isJson = /json/.test(response.headers.get('content-type') ?? '');
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: isJson && text !== '' ? JSON.parse(text) : undefined,
      };
    },
    key(scopes, boundTo) {
      const subscriberId = boundTo === undefined ? null : fromPublicId('sub', boundTo)!;
      const keys = new ApiKeys(api.database, systemClock, systemRandom, 'live');
      return api.database.transaction((tx) =>
        keys.create(tx, { name: 'test', scopes, subscriberId, expiresAt: null }),
      );
    },
    async stop() {
      await api.close();
      await api.database.close();
      await database.drop();
    },
  };
}
