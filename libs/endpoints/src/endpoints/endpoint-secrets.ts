import { LIVE_SECRETS_MAX, Problem, SECRET_OVERLAP_SECONDS_DEFAULT, type Scope } from '@app/contracts';
import { generateSecret } from '@app/signing';
import {
  endpointSecretsRepository,
  publicKeysRepository,
  type Database,
  type LiveSecret,
  type PublicKeyRow,
  type Reads,
  type SignatureKind,
  type Tx,
} from '@app/persistence';
import type { Ids } from '../ids.js';
import { checkSecret } from './checks.js';
import { newPrivateKey, type NewSecret } from './private-keys.js';
import type { EndpointReference, Endpoints } from './endpoints.js';

export interface Rotation {
  /** Which kind of signature gets a new secret or key; else `v1`, or `v1a` where the endpoint signs with nothing else. */
  kind?: SignatureKind;
  /** The customer's own `whsec_…`; else one is made. */
  secret?: string;
  /** How long the old ones go on signing; 0 ends them at once, for one that leaked. */
  overlapSeconds?: number;
}

/** What an endpoint signs with: of each kind newest first, each but the newest with its end. */
export class EndpointSecrets {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly ids: Ids,
  ) {}

  /** The secrets, which their owner may see; private keys nobody may. */
  async list(
    on: Reads & Pick<Database, 'query' | 'vault'>,
    scope: Scope,
    reference: EndpointReference,
  ): Promise<LiveSecret[]> {
    const endpoint = await this.endpoints.get(on, scope, reference);
    return endpointSecretsRepository.live(on, endpoint.subscriberId, endpoint.id, 'v1');
  }

  /** The public halves of the private keys. */
  async listPublicKeys(
    on: Reads & Pick<Database, 'query'>,
    scope: Scope,
    reference: EndpointReference,
  ): Promise<PublicKeyRow[]> {
    const { id } = await this.endpoints.get(on, scope, reference);
    return publicKeysRepository.list(on, scope, id, { limit: LIVE_SECRETS_MAX });
  }

  /** Answers those of the kind that were live before, and those that are now, the new one first. */
  async rotate(
    tx: Tx,
    scope: Scope,
    reference: EndpointReference,
    rotation: Rotation,
  ): Promise<{ before: LiveSecret[]; live: LiveSecret[] }> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    const { subscriberId, id: endpointId } = endpoint;
    const kind = rotation.kind ?? (endpoint.signatures.includes('v1') ? 'v1' : 'v1a');
    const made = this.make(kind, rotation.secret);
    const overlapSeconds = rotation.overlapSeconds ?? SECRET_OVERLAP_SECONDS_DEFAULT;
    const before = await endpointSecretsRepository.live(tx, subscriberId, endpointId, kind);
    await endpointSecretsRepository.expire(tx, subscriberId, endpointId, kind, overlapSeconds);

    const old = await endpointSecretsRepository.live(tx, subscriberId, endpointId, kind);
    if (old.some((each) => each.secret === made.secret))
      throw new Problem('conflict', 'The endpoint signs with this secret already. Rotate to another one.');
    if (old.length >= LIVE_SECRETS_MAX) throw tooMany(old);

    await endpointSecretsRepository.insert(tx, { id: this.ids.next(), subscriberId, endpointId, ...made });
    return { before, live: await endpointSecretsRepository.live(tx, subscriberId, endpointId, kind) };
  }

  private make(kind: SignatureKind, wanted: string | undefined): NewSecret {
    if (kind === 'v1a') {
      if (wanted !== undefined) throw privateKeysAreOurs();
      return newPrivateKey(this.ids);
    }
    const secret = wanted === undefined ? generateSecret(this.ids.random) : checkSecret(wanted);
    return { kind, secret, publicKey: null };
  }
}

function privateKeysAreOurs(): Problem {
  const detail = 'must be absent: a private key is made by us, and you get its public half';
  return new Problem('invalid_secret', `\`/secret\` ${detail}.`, {
    errors: [{ pointer: '/secret', detail }],
  });
}

function tooMany(live: LiveSecret[]): Problem {
  const next = live.map((each) => each.expiresAt?.getTime() ?? Infinity).reduce((a, b) => Math.min(a, b));
  return new Problem(
    'limit_reached',
    `At most ${LIVE_SECRETS_MAX} secrets sign at once. The next one ends at ${new Date(next).toISOString()}; overlapSeconds 0 ends them all now.`,
    { limit: LIVE_SECRETS_MAX },
  );
}
