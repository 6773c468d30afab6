import { LIVE_SECRETS_MAX, Problem, SECRET_OVERLAP_SECONDS_DEFAULT, type Scope } from '@app/contracts';
import { generateSecret } from '@app/signing';
import {
  endpointSecretsRepository,
  type Database,
  type LiveSecret,
  type Reads,
  type Tx,
} from '@app/persistence';
import type { Ids } from '../ids.js';
import { checkSecret } from './checks.js';
import type { EndpointReference, Endpoints } from './endpoints.js';

export interface Rotation {
  /** The customer's own `whsec_…`; else one is made. */
  secret?: string;
  /** How long the old ones go on signing; 0 ends them at once, for one that leaked. */
  overlapSeconds?: number;
}

/** The signing secrets of an endpoint: newest first, each but the newest with its end. */
export class EndpointSecrets {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly ids: Ids,
  ) {}

  async list(
    on: Reads & Pick<Database, 'query' | 'vault'>,
    scope: Scope,
    reference: EndpointReference,
  ): Promise<LiveSecret[]> {
    const endpoint = await this.endpoints.get(on, scope, reference);
    return endpointSecretsRepository.live(on, endpoint.subscriberId, endpoint.id);
  }

  /** Answers the live secrets, the new one first. */
  async rotate(
    tx: Tx,
    scope: Scope,
    reference: EndpointReference,
    rotation: Rotation,
  ): Promise<LiveSecret[]> {
    const secret =
      rotation.secret === undefined ? generateSecret(this.ids.random) : checkSecret(rotation.secret);
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    const { subscriberId, id: endpointId } = endpoint;
    const overlapSeconds = rotation.overlapSeconds ?? SECRET_OVERLAP_SECONDS_DEFAULT;
    await endpointSecretsRepository.expire(tx, subscriberId, endpointId, overlapSeconds);

    const old = await endpointSecretsRepository.live(tx, subscriberId, endpointId);
    if (old.some((each) => each.secret === secret))
      throw new Problem('conflict', 'The endpoint signs with this secret already. Rotate to another one.');
    if (old.length >= LIVE_SECRETS_MAX) throw tooMany(old);

    await endpointSecretsRepository.insert(tx, { id: this.ids.next(), subscriberId, endpointId, secret });
    return endpointSecretsRepository.live(tx, subscriberId, endpointId);
  }
}

function tooMany(live: LiveSecret[]): Problem {
  const next = live.map((each) => each.expiresAt?.getTime() ?? Infinity).reduce((a, b) => Math.min(a, b));
  return new Problem(
    'limit_reached',
    `At most ${LIVE_SECRETS_MAX} secrets sign at once. The next one ends at ${new Date(next).toISOString()}; overlapSeconds 0 ends them all now.`,
    { limit: LIVE_SECRETS_MAX },
  );
}
