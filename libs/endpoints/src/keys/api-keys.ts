import {
  API_KEYS_MAX,
  KEY_OVERLAP_SECONDS_DEFAULT,
  Problem,
  SCOPES,
  type ApiScope,
  type Scope,
} from '@app/contracts';
import { newId, toPublicId, type Clock, type Random } from '@app/domain';
import { ApiKeysRepository, type Database, type ListedKey, type Reader, type Tx } from '@app/persistence';
import { hashKey, makeKeyText, readKeyText } from './key-text.js';
import { checkNetworks } from './networks.js';

export interface KeyWanted {
  name: string;
  scopes: ApiScope[];
  /** uuid of the only subscriber it may see; null for every one. */
  subscriberId: string | null;
  /** Networks that it may be used from; none for anywhere. */
  networks?: string[];
  expiresAt: Date | null;
}

/** API keys: only their hash is kept, so a text is shown by the call that makes it and never again. */
export class ApiKeys {
  private readonly repository: ApiKeysRepository;

  constructor(
    database: Database,
    private readonly clock: Clock,
    private readonly random: Random,
    /** Part of each text: POSTHORN_ENVIRONMENT. */
    private readonly environment: string,
  ) {
    this.repository = new ApiKeysRepository(database);
  }

  /** Answers the public id and the text of the new key. @throws Problem invalid_request, limit_reached */
  async create(tx: Tx, wanted: KeyWanted): Promise<{ id: string; key: string }> {
    const wrong = wanted.scopes.filter((scope) => !SCOPES.includes(scope));
    if (wanted.scopes.length === 0 || wrong.length > 0)
      throw new Error(`Scopes are ${SCOPES.join(', ')}; ${wrong.join(', ') || 'none given'} will not do.`);
    const networks = checkNetworks(wanted.networks ?? []);
    if ((await this.repository.lockAndCountLive(tx)) >= API_KEYS_MAX)
      throw new Problem('limit_reached', `There are at most ${API_KEYS_MAX} keys; revoke some.`, {
        limit: API_KEYS_MAX,
      });
    const id = this.newId();
    const key = makeKeyText('key', this.environment, id, this.random);
    const { name, subscriberId, expiresAt } = wanted;
    const scopes = [...new Set(wanted.scopes)];
    const row = { id, name, hash: hashKey(key), scopes, subscriberId, networks, chosen: false, expiresAt };
    if (!(await this.repository.insert(tx, row)))
      throw new Error('Bug: a new key has the id or the hash of an old one');
    return { id: toPublicId('key', id), key };
  }

  /** Newest first, without their texts. */
  list(page: { limit: number; after?: string }): Promise<ListedKey[]> {
    return this.repository.list(page);
  }

  /** @throws Problem not_found */
  async get(on: Reader, id: string | undefined): Promise<ListedKey> {
    return found(id === undefined ? null : await this.repository.find(on, id));
  }

  /**
   * Gives a key another text; the one before is good for `overlapSeconds` more. Never are more than two good: the one
   * before that must have ended. @throws Problem not_found, conflict, limit_reached
   */
  async rotate(
    tx: Tx,
    id: string | undefined,
    overlapSeconds = KEY_OVERLAP_SECONDS_DEFAULT,
  ): Promise<{ before: ListedKey; after: ListedKey; key: string }> {
    const before = found(id === undefined ? null : await this.repository.lock(tx, id));
    if (before.chosen)
      throw new Problem(
        'conflict',
        'The text of this key is POSTHORN_ADMIN_KEY. Set another one there, restart, and revoke this key.',
      );
    if (before.ended) throw new Problem('conflict', 'The key is revoked or expired. Make another one.');
    if (before.previousEndsAt && overlapSeconds > 0)
      throw new Problem(
        'limit_reached',
        `Two texts are good already; the older one ends at ${before.previousEndsAt.toISOString()}. overlapSeconds 0 ends both now.`,
        { limit: 2 },
      );
    const key = makeKeyText('key', this.environment, before.id, this.random);
    await this.repository.rotate(tx, before.id, hashKey(key), overlapSeconds);
    return { before, after: await this.get(tx, before.id), key };
  }

  /** Felt by every api process within two seconds. One that is revoked stays as it is. @throws Problem not_found */
  async revoke(tx: Tx, id: string | undefined): Promise<{ before: ListedKey; after: ListedKey }> {
    const before = found(id === undefined ? null : await this.repository.lock(tx, id));
    await this.repository.revoke(tx, before.id);
    return { before, after: await this.get(tx, before.id) };
  }

  /**
   * Registers a text that the operator chose; one of our own form keeps the id that it names. What is there already,
   * revoked or not, is left as it is. Answers the public id when it is new.
   */
  async register(tx: Tx, name: string, text: string): Promise<string | null> {
    const read = readKeyText(text);
    const id = read === null || read === 'mistyped' ? this.newId() : read.id;
    const isNew = await this.repository.insert(tx, {
      id,
      name,
      hash: hashKey(text),
      scopes: ['admin'],
      subscriberId: null,
      networks: [],
      chosen: true,
      expiresAt: null,
    });
    return isNew ? toPublicId('key', id) : null;
  }

  /** An admin key when there has never been any key; otherwise null. Of two first starts at once, one makes it. */
  async createFirst(tx: Tx): Promise<{ id: string; key: string } | null> {
    if (await this.repository.lockAndCheckAny(tx)) return null;
    return this.create(tx, { name: 'admin', scopes: ['admin'], subscriberId: null, expiresAt: null });
  }

  private newId(): string {
    return newId(this.clock.now().getTime(), this.random);
  }
}

/** A key that is bound to a subscriber manages no keys, not even of that one: nothing it makes can be more than it is. */
export function refuseBoundToKeys(scope: Scope): void {
  if (scope.kind === 'subscriber')
    throw new Problem('forbidden', 'A key that is bound to a subscriber cannot see or change keys.');
}

function found<T>(key: T | null): T {
  if (!key) throw new Problem('not_found', 'There is no key with this id.');
  return key;
}
