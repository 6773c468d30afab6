import { ENDPOINTS_PER_SUBSCRIBER_MAX, Problem, type Scope } from '@app/contracts';
import { windowForRate, type UrlPolicy } from '@app/domain';
import { generateSecret } from '@app/signing';
import {
  endpointSecretsRepository,
  endpointsRepository,
  NO_CREDENTIALS,
  subscribersRepository,
  type Database,
  type EndpointRow,
  type Reads,
  type Tx,
} from '@app/persistence';
import type { Ids } from '../ids.js';
import { mergeMetadata, type TextsChange } from '../metadata.js';
import { checkHeaders, checkPatterns, checkSecret, checkStoredUrl, checkUrl } from './checks.js';
import { mergeHeaders } from './headers.js';
import { refuseKeptSecrets } from './kept-secrets.js';
import { checkPolicies, DEFAULT_POLICIES, type PoliciesWanted } from './policies.js';
import { newPrivateKey } from './private-keys.js';
import {
  changeCredentials,
  concernsCredentials,
  refuseContradictions,
  type CredentialsWanted,
} from './credentials.js';

/** How an endpoint is named: its subscriber by `sub_…` or external id, and its own uuid (null: not the form of one). */
export interface EndpointReference {
  subscriber: string;
  id: string | null;
}

export interface NewEndpointWanted extends PoliciesWanted, CredentialsWanted {
  verification?: EndpointRow['verification'];
  url: string;
  description?: string;
  eventTypes?: string[];
  headers?: Record<string, string>;
  metadata?: Record<string, string>;
  timeoutSeconds?: number;
  /** The customer's own `whsec_…`; else one is made. */
  secret?: string;
}

/** What is absent stays. Headers and metadata are merged name by name. */
export interface EndpointChange extends PoliciesWanted, CredentialsWanted {
  verification?: EndpointRow['verification'];
  url?: string;
  description?: string;
  eventTypes?: string[];
  headers?: TextsChange;
  metadata?: TextsChange;
  timeoutSeconds?: number;
}

const TIMEOUT_SECONDS_DEFAULT = 15;

/** The URLs that subscribers receive at. */
export class Endpoints {
  constructor(
    private readonly ids: Ids,
    private readonly policy: UrlPolicy,
    /** The DNS name that deliveries are sent under; null when the operator has set none. */
    private readonly origin: string | null = null,
  ) {}

  /** @throws Problem not_found, also for one that the scope must not know of */
  async get(
    on: Reads & Pick<Database, 'query'>,
    scope: Scope,
    reference: EndpointReference,
  ): Promise<EndpointRow> {
    const subscriber = await subscribersRepository.find(on, scope, reference.subscriber);
    return found(
      subscriber && reference.id && (await endpointsRepository.find(on, scope, subscriber.id, reference.id)),
    );
  }

  /** The same, and nobody else changes it until the end of the transaction. */
  async lock(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const subscriber = await subscribersRepository.find(tx, scope, reference.subscriber);
    return found(
      subscriber && reference.id && (await endpointsRepository.lock(tx, scope, subscriber.id, reference.id)),
    );
  }

  /** Before something is sent to it by hand. @throws Problem invalid_endpoint_url */
  mayBeSentTo({ url }: Pick<EndpointRow, 'url'>): void {
    checkStoredUrl(url, this.policy);
  }

  /** Answers the endpoint, its secret, which the answer to this call shows, and its public key when it has one. */
  async register(
    tx: Tx,
    scope: Scope,
    subscriberReference: string,
    wanted: NewEndpointWanted,
  ): Promise<{ endpoint: EndpointRow; secret: string; publicKey: string | null }> {
    const url = checkUrl(wanted.url, this.policy);
    const eventTypes = checkPatterns(wanted.eventTypes ?? ['*']);
    const headers = checkHeaders(wanted.headers ?? {});
    const secret = wanted.secret === undefined ? generateSecret(this.ids.random) : checkSecret(wanted.secret);
    const credentials = changeCredentials(NO_CREDENTIALS, wanted, this.circumstances());
    refuseContradictions(credentials, { url, headerNames: Object.keys(headers) });

    // Locked, so that of two registrations at the limit one is refused, and none joins a subscriber being deleted.
    const subscriber = await subscribersRepository.lock(tx, scope, subscriberReference);
    if (!subscriber) throw new Problem('not_found', 'There is no such subscriber.');
    if ((await endpointsRepository.count(tx, subscriber.id)) >= ENDPOINTS_PER_SUBSCRIBER_MAX)
      throw new Problem(
        'limit_reached',
        `A subscriber has at most ${ENDPOINTS_PER_SUBSCRIBER_MAX} endpoints.`,
        {
          limit: ENDPOINTS_PER_SUBSCRIBER_MAX,
        },
      );

    const id = this.ids.next();
    const policies = {
      ...DEFAULT_POLICIES,
      ...(await checkPolicies(tx, { id, subscriberId: subscriber.id }, wanted)),
    };
    const row = {
      id,
      verification: this.verification(wanted.verification ?? 'none'),
      subscriberId: subscriber.id,
      url,
      description: wanted.description ?? '',
      eventTypes,
      headers,
      metadata: mergeMetadata({}, wanted.metadata ?? {}),
      timeoutMs: (wanted.timeoutSeconds ?? TIMEOUT_SECONDS_DEFAULT) * 1000,
      ...policies,
      credentials,
    };
    await endpointsRepository.insert(tx, row, windowForRate(policies.rateLimit));
    await endpointSecretsRepository.insert(tx, {
      id: this.ids.next(),
      subscriberId: subscriber.id,
      endpointId: id,
      secret,
    });
    const publicKey = credentials.signatures.includes('v1a') ? await this.addPrivateKey(tx, row) : null;
    return {
      endpoint: found(await endpointsRepository.find(tx, scope, subscriber.id, id)),
      secret,
      publicKey,
    };
  }

  async change(
    tx: Tx,
    scope: Scope,
    reference: EndpointReference,
    change: EndpointChange,
  ): Promise<EndpointRow> {
    const before = await this.lock(tx, scope, reference);
    const url = change.url === undefined ? before.url : checkUrl(change.url, this.policy);
    refuseKeptSecrets(before, change, url);
    const policies = await checkPolicies(tx, before, change);
    const verification = this.verification(change.verification ?? before.verification);
    const headers =
      change.headers === undefined
        ? undefined
        : checkHeaders(mergeHeaders(await endpointsRepository.openHeaders(tx, before), change.headers));
    const credentials = concernsCredentials(change)
      ? changeCredentials(await endpointsRepository.openCredentials(tx, before), change, this.circumstances())
      : undefined;
    refuseContradictions(credentials ?? before, { url, headerNames: Object.keys(headers ?? before.headers) });
    await endpointsRepository.update(tx, before.subscriberId, before.id, {
      url,
      ...(change.description === undefined ? {} : { description: change.description }),
      ...(change.eventTypes === undefined ? {} : { eventTypes: checkPatterns(change.eventTypes) }),
      ...(headers === undefined ? {} : { headers }),
      ...(credentials === undefined ? {} : { credentials }),
      ...(change.metadata === undefined ? {} : { metadata: mergeMetadata(before.metadata, change.metadata) }),
      ...(change.timeoutSeconds === undefined ? {} : { timeoutMs: change.timeoutSeconds * 1000 }),
      ...policies,
    });
    // Whoever proved it was there: somebody else may be now.
    if (verification !== before.verification || (url !== before.url && verification !== 'none'))
      await endpointsRepository.resetVerification(tx, before.subscriberId, before.id, verification);
    if (credentials?.signatures.includes('v1a')) await this.ensurePrivateKey(tx, before);
    if (policies.rateLimit !== undefined)
      await endpointsRepository.limitWindow(
        tx,
        before.subscriberId,
        before.id,
        windowForRate(policies.rateLimit),
      );
    if (policies.orderedFailure === 'skip' || policies.ordered === false)
      await endpointsRepository.releaseKeys(tx, before.subscriberId, before.id);
    // No reason to wait for the sake of what is no more.
    if (url !== before.url || credentials !== undefined)
      await endpointsRepository.probeSoon(tx, before.subscriberId, before.id);
    return found(await endpointsRepository.find(tx, scope, before.subscriberId, before.id));
  }

  /** @throws Problem invalid_request */
  private verification(kind: EndpointRow['verification']): EndpointRow['verification'] {
    if (kind !== 'cloudevents' || this.origin !== null) return kind;
    const detail = 'cannot be cloudevents: the operator has not set POSTHORN_ORIGIN';
    throw new Problem('invalid_request', `\`/verification\` ${detail}.`, {
      errors: [{ pointer: '/verification', detail }],
    });
  }

  /** One that signed with `v1a` before goes on with the key that its receiver knows. */
  private async ensurePrivateKey(tx: Tx, endpoint: Pick<EndpointRow, 'id' | 'subscriberId'>): Promise<void> {
    const { id, subscriberId } = endpoint;
    const live = await endpointSecretsRepository.live(tx, subscriberId, id, 'v1a');
    if (live.length === 0) await this.addPrivateKey(tx, endpoint);
  }

  private async addPrivateKey(tx: Tx, endpoint: Pick<EndpointRow, 'id' | 'subscriberId'>): Promise<string> {
    const made = newPrivateKey(this.ids);
    const { id: endpointId, subscriberId } = endpoint;
    await endpointSecretsRepository.insert(tx, { id: this.ids.next(), subscriberId, endpointId, ...made });
    return made.publicKey;
  }

  private circumstances() {
    return { policy: this.policy, now: this.ids.clock.now() };
  }

  async delete(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const endpoint = await this.lock(tx, scope, reference);
    await endpointsRepository.delete(tx, endpoint.subscriberId, endpoint.id);
    return endpoint;
  }
}

function found(endpoint: EndpointRow | null | ''): EndpointRow {
  if (!endpoint) throw new Problem('not_found', 'There is no such endpoint.');
  return endpoint;
}
