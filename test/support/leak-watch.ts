import pg from 'pg';
import { LeakScan, type Kind, type Leak } from './leak-scan.js';

/**
 * Learns every secret that a test makes (from what it sends, what it is answered and what it starts processes with) and
 * keeps what must not show any of them: output of processes, answers. fixtures report to it; whoever ends a test asks
 * for the verdict. Off until a fixture begins: benches use the same fixtures.
 */
class LeakWatch {
  private scan = new LeakScan();
  private outputs: Output[] = [];
  private answers: { where: string; text: string; allowed: readonly Kind[] }[] = [];
  private found: Leak[] = [];
  /** Whether a fixture has begun, and not yet asked for the verdict. */
  on = false;

  /** Forgets what was before. */
  begin(): void {
    [this.scan, this.outputs, this.answers, this.found, this.on] = [new LeakScan(), [], [], [], true];
  }

  remember(kind: Kind, text: string): void {
    if (this.on) this.scan.remember(kind, text);
  }

  /** Secrets that a process is started with. */
  environment(env: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(env)) {
      if (name === 'POSTHORN_KEKS')
        for (const kek of value.split(/[,\n]/)) this.remember('credential', kek.slice(kek.indexOf(':') + 1));
      else if (/KEY$|SECRET|PASSWORD|TOKEN/.test(name)) this.remember('api key', value);
      else if (/^[a-z]+:\/\//.test(value)) this.remember('credential', passwordOf(value));
    }
  }

  /** Takes the output of a process as it comes. `allowed`: what it is this process's purpose to print. */
  output(where: string, allowed: readonly Kind[] = []): (chunk: string) => void {
    const said: string[] = [];
    this.outputOf(where, () => Promise.resolve(said.join('')), allowed);
    return this.on ? (chunk) => void said.push(chunk) : () => undefined;
  }

  /** The same of what goes to a file. */
  outputOf(where: string, read: () => Promise<string>, allowed: readonly Kind[] = []): void {
    if (this.on) this.outputs.push({ where, read, allowed });
  }

  /** A request and its answer: both teach secrets, and the answer is kept unless it is the place to show them. */
  exchange(method: string, path: string, body: unknown, status: number, text: string): void {
    if (!this.on) return;
    learn(this.scan, parsed(body), method === 'POST' && /^\/v1\/events(\/batch)?(\?|$)/.test(path));
    const where = `${method} ${path.split('?', 1)[0]} ${status}`;
    const allowed = SHOWN.find(([place]) => place.test(where))?.[1] ?? [];
    if (allowed.length > 0) learnShown(this.scan, text, allowed);
    this.answers.push({ where: `the answer to ${where}`, text, allowed });
  }

  /** What processes show while they run: lists and metrics. `key` may see everything. */
  async inspect(processes: readonly { url: string }[], key: string): Promise<void> {
    if (!this.on) return;
    const headers = { authorization: `Bearer ${key}` };
    const look = async (where: string, url: string): Promise<string> => {
      const answer = await fetch(url, { headers, signal: AbortSignal.timeout(LOOK_MS) }).catch(() => null);
      const text = (await answer?.text().catch(() => '')) ?? '';
      this.found.push(...this.scan.find(where, text));
      return text;
    };
    await Promise.all(processes.map(({ url }) => look('metrics', `${url}/metrics`)));
    for (const { url } of processes) {
      // A worker, and an api that is dead, has none.
      const subscribers = dataOf(await look('the list /v1/subscribers', `${url}/v1/subscribers?limit=100`));
      if (subscribers === undefined) continue;
      await Promise.all(LISTS.map((path) => look(`the list ${path}`, `${url}${path}?limit=100`)));
      for (const { id } of subscribers.slice(0, SUBSCRIBERS_MAX))
        for (const list of ['endpoints', 'access-tokens'])
          await look(`the list of ${list}`, `${url}/v1/subscribers/${id}/${list}?limit=100`);
    }
  }

  /** Every text in the database, the queue's too, and the log of its server. `url` is a superuser's. */
  async database(url: string): Promise<void> {
    if (!this.on) return;
    this.remember('credential', passwordOf(url));
    const client = new pg.Client({ connectionString: url, application_name: 'leak-scan' });
    await client.connect();
    try {
      for (const { table, column } of (await client.query<{ table: string; column: string }>(TEXTS)).rows) {
        const allowed = STORED[`${table.replace(/^public\./, '')}.${column}`] ?? [];
        for await (const text of textsOf(client, table, column))
          this.found.push(...this.scan.find(`${table}.${column}`, text, allowed));
      }
      const { rows } = await client.query<{ text: string | null }>(SERVER_LOG);
      this.found.push(...this.scan.find('the log of PostgreSQL', rows[0]?.text ?? ''));
    } finally {
      await client.end();
    }
  }

  /** @throws Error with everything that was found, when everything has been said. */
  async verdict(): Promise<void> {
    if (!this.on) return;
    this.on = false;
    const leaks = [...this.found];
    for (const { where, read, allowed } of this.outputs) {
      const text = await read();
      if (allowed.length > 0) learnShown(this.scan, text, allowed);
      leaks.push(...this.scan.find(where, text, allowed));
    }
    for (const { where, text, allowed } of this.answers) leaks.push(...this.scan.find(where, text, allowed));
    if (leaks.length === 0) return;
    const told = [...new Map(leaks.map((leak) => [`${leak.kind} ${leak.where}`, leak])).values()];
    throw new Error(
      `Leaked:\n${told.map(({ kind, where, around }) => `${kind} in ${where}: ${around}`).join('\n')}`,
    );
  }
}

/** One per process: a test file, or a run of fault rows. */
export const leaks = new LeakWatch();

interface Output {
  readonly where: string;
  readonly read: () => Promise<string>;
  readonly allowed: readonly Kind[];
}

// Some are frozen or dead by then.
const LOOK_MS = 2_000;
const SUBSCRIBERS_MAX = 10;
// Shorter texts of a payload, such as `pull_request`, have a right to stand elsewhere too. A `mark` has not.
const PAYLOAD_LENGTH_MIN = 32;
const ROWS_AT_ONCE = 2_000;

const LISTS = [
  '/v1/event-types',
  '/v1/events',
  '/v1/deliveries',
  '/v1/replays',
  '/v1/api-keys',
  '/v1/audit-log',
];

/** The answers whose purpose it is to show it. */
const SHOWN: [RegExp, Kind[]][] = [
  [/^POST \/v1\/subscribers\/[^/]+\/endpoints 2/, ['signing secret']],
  [/\/secret(\/rotate)? 2/, ['signing secret']],
  [/^POST \/v1\/subscribers\/[^/]+\/access-tokens 2/, ['access token']],
  [/^POST \/v1\/api-keys(\/[^/]+\/rotate)? 2/, ['api key']],
  [/^GET \/v1\/events\/[^/]+ 2/, ['payload']],
  // What the receiver answered; it may have said what it got.
  [/^GET \/v1\/deliveries\/[^/]+ 2/, ['payload']],
];

/** The columns whose purpose it is to hold it. */
const STORED: Record<string, Kind[]> = {
  'events.data': ['payload'],
  // What the receiver answered; it may have said what it got.
  'attempts.response_body': ['payload'],
};

/** Of partitioned tables the whole, not each part. */
const TEXTS = `
  SELECT a.attrelid::regclass::text AS table, quote_ident(a.attname) AS column
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname IN ('public', 'pgboss') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     AND a.attnum > 0 AND NOT a.attisdropped
     AND format_type(a.atttypid, NULL) ~ '^(text|json|jsonb|bytea|character varying)(\\[\\])?$'
   ORDER BY 1, 2`;

const SERVER_LOG = `
  SELECT convert_from(pg_read_binary_file(pg_current_logfile()), 'UTF8') AS text WHERE pg_current_logfile() IS NOT NULL`;

async function* textsOf(client: pg.Client, table: string, column: string): AsyncGenerator<string> {
  await client.query('BEGIN');
  await client.query(
    `DECLARE texts NO SCROLL CURSOR FOR SELECT ${column}::text AS text FROM ${table} WHERE ${column} IS NOT NULL`,
  );
  for (;;) {
    const { rows } = await client.query<{ text: string }>(`FETCH ${ROWS_AT_ONCE} FROM texts`);
    if (rows.length === 0) break;
    yield rows.map(({ text }) => text).join('\n');
  }
  await client.query('COMMIT');
}

/** What a request body gives away: its secrets by the names of their fields, and texts in what it publishes. */
function learn(scan: LeakScan, body: unknown, publishes: boolean): void {
  // Not by recursion: some bodies are as deep as they can be, on purpose.
  const rest: Field[] = [{ value: body, name: '', parent: '', isData: false }];
  for (let field = rest.pop(); field !== undefined; field = rest.pop()) {
    const { value, name, parent, isData } = field;
    if (typeof value === 'object' && value !== null) {
      const isPayload = isData || (publishes && name === 'data');
      for (const [inner, each] of Object.entries(value))
        rest.push({ value: each, name: inner, parent: name, isData: isPayload });
    } else if (typeof value !== 'string') continue;
    else if (isData) {
      if (name === 'mark' || value.length >= PAYLOAD_LENGTH_MIN) scan.remember('payload', value);
    } else if (parent === 'headers') scan.remember('header value', value);
    else if (name === 'secret') scan.remember('signing secret', value);
    else if (CREDENTIAL.test(name)) scan.remember('credential', value);
  }
}

interface Field {
  readonly value: unknown;
  readonly name: string;
  readonly parent: string;
  readonly isData: boolean;
}

const CREDENTIAL = /^(password|token|clientSecret|clientKey|key)$/;

function learnShown(scan: LeakScan, text: string, kinds: readonly Kind[]): void {
  for (const [secret] of text.matchAll(/\b(whsec_|whsk_)[A-Za-z0-9+/=_-]{20,}/g))
    if (kinds.includes('signing secret')) scan.remember('signing secret', secret);
  for (const [key, prefix] of text.matchAll(/\b(pht?)_[a-z]{2,8}_[A-Za-z0-9_-]{20,}/g))
    if (kinds.includes(prefix === 'ph' ? 'api key' : 'access token'))
      scan.remember(prefix === 'ph' ? 'api key' : 'access token', key);
}

function parsed(body: unknown): unknown {
  if (typeof body !== 'string') return body;
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function dataOf(text: string): { id: string }[] | undefined {
  return (parsed(text) as { data?: { id: string }[] } | undefined)?.data;
}

function passwordOf(url: string): string {
  return URL.canParse(url) ? decodeURIComponent(new URL(url).password) : '';
}
