import { SCOPES, type ApiScope } from '@app/contracts';
import { newId, toPublicId, type Clock, type Random } from '@app/domain';
import { ApiKeysRepository, type Database, type ListedKey, type Tx } from '@app/persistence';
import { hashKey, makeKeyText } from './key-text.js';

export interface KeyWanted {
  name: string;
  scopes: ApiScope[];
  /** uuid of the only subscriber it may see; null for every one. */
  subscriberId: string | null;
  expiresAt: Date | null;
}

/** API keys: only their hash is kept, so the text is shown by the call that makes it and never again. */
export class ApiKeys {
  private readonly repository: ApiKeysRepository;

  constructor(
    database: Database,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {
    this.repository = new ApiKeysRepository(database);
  }

  /** Answers the public id and the text of the new key. */
  async create(tx: Tx, wanted: KeyWanted): Promise<{ id: string; key: string }> {
    const wrong = wanted.scopes.filter((scope) => !SCOPES.includes(scope));
    if (wanted.scopes.length === 0 || wrong.length > 0)
      throw new Error(`Scopes are ${SCOPES.join(', ')}; ${wrong.join(', ') || 'none given'} will not do.`);
    const id = this.newId();
    const key = makeKeyText(id, this.random);
    const { name, scopes, subscriberId, expiresAt } = wanted;
    if (
      !(await this.repository.insert(tx, { id, name, hash: hashKey(key), scopes, subscriberId, expiresAt }))
    )
      throw new Error('Bug: a new key has the hash of an old one');
    return { id: toPublicId('key', id), key };
  }

  /** Newest first, without their texts. */
  list(page: { limit: number; after?: string }): Promise<ListedKey[]> {
    return this.repository.list(page);
  }

  /** Felt by every api process within two seconds. Answers whether there is such a key (uuid). */
  revoke(tx: Tx, id: string): Promise<boolean> {
    return this.repository.revoke(tx, id);
  }

  /** Registers a text that the operator chose. One that is there already, revoked or not, is left as it is. */
  async register(tx: Tx, name: string, text: string): Promise<void> {
    await this.repository.insert(tx, {
      id: this.newId(),
      name,
      hash: hashKey(text),
      scopes: ['admin'],
      subscriberId: null,
      expiresAt: null,
    });
  }

  /** An admin key when there has never been any key; otherwise null. Of two first starts at once, one makes it. */
  async createFirst(tx: Tx): Promise<string | null> {
    if (await this.repository.lockAndCheckAny(tx)) return null;
    const { key } = await this.create(tx, {
      name: 'admin',
      scopes: ['admin'],
      subscriberId: null,
      expiresAt: null,
    });
    return key;
  }

  private newId(): string {
    return newId(this.clock.now().getTime(), this.random);
  }
}
