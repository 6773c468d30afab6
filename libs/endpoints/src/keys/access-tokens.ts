import {
  ACCESS_TOKENS_PER_SUBSCRIBER_MAX,
  Problem,
  TOKEN_SCOPES,
  TOKEN_SECONDS_DEFAULT,
  type ApiScope,
  type Scope,
  type TokenMode,
} from '@app/contracts';
import {
  accessTokensRepository,
  subscribersRepository,
  type Database,
  type ListedToken,
  type PageOfRows,
  type Tx,
} from '@app/persistence';
import type { Ids } from '../ids.js';
import { hashKey, makeKeyText } from './key-text.js';

export interface TokenWanted {
  mode?: TokenMode;
  expiresInSeconds?: number;
  description?: string;
}

/** What a customer is given to look at, or manage, what is its own: good for a day at most, and shown once. */
export class AccessTokens {
  constructor(
    private readonly ids: Ids,
    /** Part of each text: POSTHORN_ENVIRONMENT. */
    private readonly environment: string,
  ) {}

  /** `granting` are the scopes of whoever asks: nobody hands out more than they have. @throws Problem forbidden, not_found, limit_reached */
  async create(
    tx: Tx,
    scope: Scope,
    granting: readonly ApiScope[],
    subscriberReference: string,
    { mode = 'read', expiresInSeconds = TOKEN_SECONDS_DEFAULT, description = '' }: TokenWanted,
  ): Promise<{ token: ListedToken; text: string }> {
    const missing = granting.includes('admin')
      ? []
      : TOKEN_SCOPES[mode].filter((each) => !granting.includes(each));
    if (missing.length > 0)
      throw new Problem(
        'forbidden',
        `A key gives nobody more than it may do itself. For the mode ${mode} it lacks ${missing.join(', ')}.`,
      );
    // Locked, so that of two at the limit one is refused, and none is made for a subscriber that is being deleted.
    const subscriber = await subscribersRepository.lock(tx, scope, subscriberReference);
    if (!subscriber) throw new Problem('not_found', 'There is no such subscriber.');
    if ((await accessTokensRepository.countLive(tx, subscriber.id)) >= ACCESS_TOKENS_PER_SUBSCRIBER_MAX)
      throw new Problem(
        'limit_reached',
        `A subscriber has at most ${ACCESS_TOKENS_PER_SUBSCRIBER_MAX} live access tokens; revoke some, or let them live shorter.`,
        { limit: ACCESS_TOKENS_PER_SUBSCRIBER_MAX },
      );
    const id = this.ids.next();
    const text = makeKeyText('token', this.environment, id, this.ids.random);
    const token = await accessTokensRepository.insert(tx, {
      id,
      subscriberId: subscriber.id,
      hash: hashKey(text),
      mode,
      description,
      seconds: expiresInSeconds,
    });
    return { token, text };
  }

  /** Newest first. @throws Problem not_found */
  async list(
    database: Database,
    scope: Scope,
    subscriberReference: string,
    page: PageOfRows,
  ): Promise<ListedToken[]> {
    const subscriber = await subscribersRepository.find(database, scope, subscriberReference);
    if (!subscriber) throw new Problem('not_found', 'There is no such subscriber.');
    return accessTokensRepository.list(database, scope, subscriber.id, page);
  }

  /** Felt by every api process within two seconds. @throws Problem not_found */
  async revoke(
    tx: Tx,
    scope: Scope,
    subscriberReference: string,
    id: string | undefined,
  ): Promise<{ before: ListedToken; after: ListedToken }> {
    const subscriber = await subscribersRepository.find(tx, scope, subscriberReference);
    const before = subscriber && id && (await accessTokensRepository.lock(tx, subscriber.id, id));
    if (!subscriber || !before) throw new Problem('not_found', 'There is no such access token.');
    await accessTokensRepository.revoke(tx, subscriber.id, before.id);
    const after = await accessTokensRepository.lock(tx, subscriber.id, before.id);
    return { before, after: after ?? before };
  }
}
