import { loadConfig } from '@app/config';
import {
  KEY_OVERLAP_SECONDS_MAX,
  NAME_LENGTH_MAX,
  PAGE_SIZE_MAX,
  Problem,
  SCOPES,
  STAFF,
  type ApiScope,
  type AuditAction,
} from '@app/contracts';
import { fromPublicId, systemClock, systemRandom, toPublicId } from '@app/domain';
import { ApiKeys, auditOfKey, Ids, Subscribers } from '@app/endpoints';
import type { Database, ListedKey, Tx } from '@app/persistence';
import { Command, InvalidArgumentError, Option } from 'commander';
import { audit } from './audit.js';
import { CliError } from './cli-error.js';
import { withDatabase, withDatabaseUrl } from './find-database.js';
import { rewrapCommand } from './rewrap.command.js';

export function keysCommand(): Command {
  return new Command('keys')
    .description('API keys: make, list, rotate, revoke. And the keys of secrets at rest: rewrap.')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(rotateCommand())
    .addCommand(revokeCommand())
    .addCommand(rewrapCommand());
}

interface CreateOptions {
  name: string;
  scope: ApiScope[];
  subscriber?: string;
  ip?: string[];
  expires?: Date;
  json?: boolean;
}

function createCommand(): Command {
  return new Command('create')
    .description('Make a key. Its text goes to standard output, once; nobody can show it again.')
    .requiredOption('--name <name>', 'what it is for, as the list will show it', parseName)
    .addOption(new Option('--scope <scope...>', 'what it may do').choices(SCOPES).makeOptionMandatory())
    .option('--subscriber <subscriber>', 'the only subscriber that it may see: sub_… or its externalId')
    .option('--ip <network...>', 'where it may be used from, such as 198.51.100.0/24; without it, anywhere')
    .option(
      '--expires <duration>',
      'how long it is good for, such as 12h or 30d; without it, until revoked',
      parseExpiry,
    )
    .option('--json', 'print JSON')
    .action((options: CreateOptions) => onKeys((keys, database) => create(keys, database, options)));
}

function rotateCommand(): Command {
  return new Command('rotate')
    .description('Give a key another text, shown once. The one before is good for a while beside it.')
    .argument('<id>', 'key_…, as the list shows it')
    .option('--overlap <duration>', 'how long, up to 7d; 0 ends it at once; without it, a day', parseOverlap)
    .action((id: string, { overlap }: { overlap?: number }) =>
      onKeys(async (keys, database) => {
        const text = await database.transaction(async (tx) => {
          const { before, after, key } = await keys.rotate(tx, fromPublicId('key', id), overlap);
          await auditKey(tx, 'api_key.rotate', before, after);
          return key;
        });
        process.stderr.write(`${id} is rotated. This is the only time its text is shown:\n`);
        console.log(text);
      }),
    );
}

function listCommand(): Command {
  return new Command('list')
    .description('All keys, newest first, without their texts.')
    .option('--json', 'print JSON')
    .action(({ json = false }: { json?: boolean }) =>
      onKeys(async (keys) => {
        const rows = (await listAll(keys)).map(shown);
        if (json) console.log(JSON.stringify(rows, null, 2));
        else for (const row of rows) console.log(asLine(row));
      }),
    );
}

function revokeCommand(): Command {
  return new Command('revoke')
    .description('End a key. Every api refuses it within two seconds.')
    .argument('<id>', 'key_…, as the list shows it')
    .action((id: string) =>
      onKeys(async (keys, database) => {
        await database.transaction(async (tx) => {
          const { before, after } = await keys.revoke(tx, fromPublicId('key', id));
          await auditKey(tx, 'api_key.revoke', before, after);
        });
        console.log(`${id} is revoked.`);
      }),
    );
}

async function create(keys: ApiKeys, database: Database, options: CreateOptions): Promise<void> {
  const { name, scope: scopes, ip: networks, expires = null } = options;
  const made = await database.transaction(async (tx) => {
    const subscribers = new Subscribers(new Ids(systemClock, systemRandom));
    const only =
      options.subscriber === undefined ? null : await subscribers.get(tx, STAFF, options.subscriber);
    const subscriberId = only?.id ?? null;
    const key = await keys.create(tx, { name, scopes, subscriberId, networks, expiresAt: expires });
    const after = await keys.get(tx, fromPublicId('key', key.id));
    await auditKey(tx, 'api_key.create', null, after);
    return { subscriberId, ...key };
  });
  if (options.json) {
    const subscriber = made.subscriberId && toPublicId('sub', made.subscriberId);
    console.log(
      JSON.stringify({ id: made.id, key: made.key, name, scopes, subscriber, expiresAt: expires }, null, 2),
    );
    return;
  }
  // The text alone on standard output: KEY=$(posthorn keys create …) works.
  process.stderr.write(`${made.id} (${scopes.join(', ')}). This is the only time it is shown:\n`);
  console.log(made.key);
}

function auditKey(tx: Tx, action: AuditAction, before: ListedKey | null, after: ListedKey): Promise<void> {
  const { id, subscriberId } = after;
  return audit(tx, { action, object: toPublicId('key', id), subscriberId, ...auditOfKey(before, after) });
}

async function listAll(keys: ApiKeys): Promise<ListedKey[]> {
  const rows: ListedKey[] = [];
  for (;;) {
    const after = rows.at(-1)?.id;
    const page = await keys.list({ limit: PAGE_SIZE_MAX, ...(after === undefined ? {} : { after }) });
    rows.push(...page);
    if (page.length < PAGE_SIZE_MAX) return rows;
  }
}

type ShownKey = ReturnType<typeof shown>;

function shown({ id, subscriberId, networks: allowedIps, ...key }: ListedKey) {
  return {
    id: toPublicId('key', id),
    ...key,
    allowedIps,
    subscriber: subscriberId && toPublicId('sub', subscriberId),
  };
}

function asLine(key: ShownKey): string {
  const at = (instant: Date | null, otherwise: string) =>
    instant?.toISOString().slice(0, 16).replace('T', ' ') ?? otherwise;
  const end = key.revokedAt ? `revoked ${at(key.revokedAt, '')}` : `expires ${at(key.expiresAt, 'never')}`;
  const only = key.subscriber ? ` only ${key.subscriber}` : '';
  const from = key.allowedIps.length > 0 ? ` from ${key.allowedIps.join(' ')}` : '';
  return `${key.id}  ${key.name}  [${key.scopes.join(' ')}]${only}${from}  ${end}, last used ${at(key.lastUsedAt, 'never')} (UTC)`;
}

function onKeys<T>(work: (keys: ApiKeys, database: Database) => Promise<T>): Promise<T> {
  const config = loadConfig();
  return withDatabaseUrl(config, (url) =>
    withDatabase(url, async (database) => {
      const keys = new ApiKeys(database, systemClock, systemRandom, config.POSTHORN_ENVIRONMENT);
      try {
        return await work(keys, database);
      } catch (error) {
        throw error instanceof Problem ? new CliError(error.detail) : error;
      }
    }),
  );
}

function parseName(text: string): string {
  const name = text.trim();
  if (name === '' || name.length > NAME_LENGTH_MAX)
    throw new InvalidArgumentError(`1 to ${NAME_LENGTH_MAX} characters.`);
  return name;
}

const HOURS_PER = { h: 1, d: 24, w: 168 };

function parseExpiry(text: string): Date {
  return new Date(systemClock.now().getTime() + parseHours(text) * 3_600_000);
}

function parseOverlap(text: string): number {
  const seconds = text === '0' ? 0 : parseHours(text) * 3600;
  if (seconds > KEY_OVERLAP_SECONDS_MAX) throw new InvalidArgumentError('At most 7d.');
  return seconds;
}

function parseHours(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,4})([hdw])$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('A number and h, d or w, such as 12h or 30d.');
  return Number(count) * HOURS_PER[unit as 'h' | 'd' | 'w'];
}
