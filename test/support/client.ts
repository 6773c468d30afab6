import { leaks } from './leak-watch.js';

/** The least of each answer that tests and benches look at; the whole of it is in `body`. */
export interface Identified {
  readonly id: string;
  readonly [field: string]: unknown;
}

export interface Page<T> {
  readonly data: T[];
  readonly nextCursor: string | null;
}

export interface Answer<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

export interface NewEvent {
  readonly subscriber: string;
  readonly type: string;
  readonly data: unknown;
  readonly version?: string;
  readonly occurredAt?: string;
  readonly id?: string;
}

/** A test that did not expect a refusal sees the whole problem+json. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    request: string,
    readonly answer: Answer<{ code?: string }>,
  ) {
    super(`${request}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
}

export interface PosthornClient {
  /** Any call, any answer. A string is sent as it is: for raw JSON and for bad JSON. */
  request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<T>>;
  /** The body of a 2xx; throws ApiError for everything else. */
  get<T = Identified>(path: string): Promise<T>;
  post<T = Identified>(path: string, body?: unknown, headers?: Record<string, string>): Promise<T>;
  /** Every row of a list, following cursors. */
  all<T = Identified>(path: string): Promise<T[]>;

  createEventType(name: string): Promise<Identified>;
  createSubscriber(subscriber: { name: string; externalId?: string }): Promise<Identified>;
  createEndpoint(
    subscriber: string,
    endpoint: { url: string; eventTypes?: string[]; [field: string]: unknown },
  ): Promise<Identified & { secret: string }>;
  publish(
    event: NewEvent,
    headers?: Record<string, string>,
  ): Promise<{ id: string; deliveries: number | unknown[] }>;
  delivery(id: string): Promise<Identified>;
  resend(deliveryId: string): Promise<unknown>;
  /** The same api with another key. */
  as(key: string): PosthornClient;
}

// Far beyond a healthy answer: a test that hangs should say where.
const REQUEST_TIMEOUT_MS = 20_000;
const LIST_ROWS_MAX = 100_000;

export function createClient({ url, key }: { url: string; key: string }): PosthornClient {
  leaks.remember('api key', key);

  async function send<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> {
    const answer = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const text = await answer.text();
    leaks.exchange(method, path, body, answer.status, text);
    const isJson = answer.headers.get('content-type')?.includes('json') === true && text !== '';
    return { status: answer.status, headers: answer.headers, body: (isJson ? JSON.parse(text) : text) as T };
  }

  async function insist<T>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<T> {
    const answer = await send<T>(method, path, body, headers);
    if (answer.status >= 200 && answer.status < 300) return answer.body;
    throw new ApiError(`${method} ${path}`, answer as Answer<{ code?: string }>);
  }

  return {
    request: send,
    get: (path) => insist('GET', path),
    post: (path, body, headers) => insist('POST', path, body, headers),
    all: async <T>(path: string) => {
      const rows: T[] = [];
      for (let cursor: string | null = ''; cursor !== null && rows.length < LIST_ROWS_MAX;) {
        const separator = path.includes('?') ? '&' : '?';
        const at: string = cursor === '' ? path : `${path}${separator}cursor=${encodeURIComponent(cursor)}`;
        const page = await insist<Page<T>>('GET', at);
        rows.push(...page.data);
        cursor = page.nextCursor;
      }
      return rows;
    },

    createEventType: (name) => insist('POST', '/v1/event-types', { name }),
    createSubscriber: (subscriber) => insist('POST', '/v1/subscribers', subscriber),
    createEndpoint: (subscriber, endpoint) =>
      insist('POST', `/v1/subscribers/${encodeURIComponent(subscriber)}/endpoints`, {
        eventTypes: ['*'],
        ...endpoint,
      }),
    publish: (event, headers) => insist('POST', '/v1/events', event, headers),
    delivery: (id) => insist('GET', `/v1/deliveries/${id}`),
    resend: (deliveryId) => insist('POST', `/v1/deliveries/${deliveryId}/resend`),
    as: (otherKey) => createClient({ url, key: otherKey }),
  };
}
