import { loadConfig } from '@app/config';
import { NAME_LENGTH_MAX, PAGE_SIZE_MAX, SCOPES, STAFF, type ApiScope } from '@app/contracts';
import { fromPublicId, systemClock, systemRandom, toPublicId } from '@app/domain';
import { ApiKeys, Ids, Subscribers } from '@app/endpoints';
import type { Database, ListedKey } from '@app/persistence';
import { Command, InvalidArgumentError, Option } from 'commander';
import { CliError } from './cli-error.js';
import { withDatabase, withDatabaseUrl } from './find-database.js';
import { rewrapCommand } from './rewrap.command.js';

export function keysCommand(): Command {
  return new Command('keys')
    .description('API keys: make, list, revoke. And the keys of secrets at rest: rewrap.')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand())
    .addCommand(rewrapCommand());
}

interface CreateOptions {
  name: string;
  scope: ApiScope[];
  subscriber?: string;
  expires?: Date;
  json?: boolean;
}

function createCommand(): Command {
  return new Command('create')
    .description('Make a key. Its text goes to standard output, once; nobody can show it again.')
    .requiredOption('--name <name>', 'what it is for, as the list will show it', parseName)
    .addOption(new Option('--scope <scope...>', 'what it may do').choices(SCOPES).makeOptionMandatory())
    .option('--subscriber <subscriber>', 'the only subscriber that it may see: sub_… or its externalId')
    .option(
      '--expires <duration>',
      'how long it is good for, such as 12h or 30d; without it, until revoked',
      parseExpiry,
    )
    .option('--json', 'print JSON')
    .action((options: CreateOptions) => onKeys((keys, database) => create(keys, database, options)));
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
        const uuid = fromPublicId('key', id);
        const there = uuid !== undefined && (await database.transaction((tx) => keys.revoke(tx, uuid)));
        if (!there) throw new CliError(`There is no key ${id}: \`posthorn keys list\` shows them.`);
        console.log(`${id} is revoked.`);
      }),
    );
}

async function create(keys: ApiKeys, database: Database, options: CreateOptions): Promise<void> {
  const { name, scope: scopes, expires = null } = options;
  const made = await database.transaction(async (tx) => {
    const subscribers = new Subscribers(new Ids(systemClock, systemRandom));
    const only =
      options.subscriber === undefined ? null : await subscribers.get(tx, STAFF, options.subscriber);
    const subscriberId = only?.id ?? null;
    return { subscriberId, ...(await keys.create(tx, { name, scopes, subscriberId, expiresAt: expires })) };
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

function shown({ id, subscriberId, ...key }: ListedKey) {
  return { id: toPublicId('key', id), ...key, subscriber: subscriberId && toPublicId('sub', subscriberId) };
}

function asLine(key: ShownKey): string {
  const at = (instant: Date | null, otherwise: string) =>
    instant?.toISOString().slice(0, 16).replace('T', ' ') ?? otherwise;
  const end = key.revokedAt ? `revoked ${at(key.revokedAt, '')}` : `expires ${at(key.expiresAt, 'never')}`;
  const only = key.subscriber ? ` only ${key.subscriber}` : '';
  return `${key.id}  ${key.name}  [${key.scopes.join(' ')}]${only}  ${end}, last used ${at(key.lastUsedAt, 'never')} (UTC)`;
}

function onKeys<T>(work: (keys: ApiKeys, database: Database) => Promise<T>): Promise<T> {
  return withDatabaseUrl(loadConfig(), (url) =>
    withDatabase(url, (database) => work(new ApiKeys(database, systemClock, systemRandom), database)),
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
  const [, count, unit] = /^([1-9]\d{0,4})([hdw])$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('A number and h, d or w, such as 12h or 30d.');
  return new Date(
    systemClock.now().getTime() + Number(count) * HOURS_PER[unit as 'h' | 'd' | 'w'] * 3_600_000,
  );
}
