import { Problem, type Scope } from '@app/contracts';
import {
  subscribersRepository,
  violatedUnique,
  type Reads,
  type SubscriberEntity,
  type Tx,
} from '@app/persistence';
import type { Ids } from '../ids.js';
import { mergeMetadata, type TextsChange } from '../metadata.js';

export interface NewSubscriber {
  name: string;
  externalId?: string;
  metadata?: Record<string, string>;
  encryptPayloads?: boolean;
}

/** What is absent stays; null takes the external id away. */
export interface SubscriberChange {
  name?: string;
  externalId?: string | null;
  metadata?: TextsChange;
  encryptPayloads?: boolean;
}

/** The customer accounts that receive events. A reference is `sub_…` or the company's own id, everywhere. */
export class Subscribers {
  constructor(private readonly ids: Ids) {}

  /** @throws Problem not_found, also for one that the scope must not know of */
  async get(on: Reads, scope: Scope, reference: string): Promise<SubscriberEntity> {
    return found(await subscribersRepository.find(on, scope, reference));
  }

  async register(tx: Tx, scope: Scope, wanted: NewSubscriber): Promise<SubscriberEntity> {
    if (scope.kind === 'subscriber')
      throw new Problem('forbidden', 'A key that is bound to a subscriber cannot register another one.');
    checkExternalId(wanted.externalId);
    return refuseTaken(wanted.externalId, () =>
      subscribersRepository.insert(tx, {
        id: this.ids.next(),
        name: wanted.name,
        externalId: wanted.externalId ?? null,
        metadata: mergeMetadata({}, wanted.metadata ?? {}),
        encryptPayloads: wanted.encryptPayloads ?? false,
      }),
    );
  }

  async change(tx: Tx, scope: Scope, reference: string, change: SubscriberChange): Promise<SubscriberEntity> {
    checkExternalId(change.externalId);
    const before = found(await subscribersRepository.lock(tx, scope, reference));
    // Staff publish to it and make tokens for it: nobody else chooses which name he is found by.
    if (
      scope.kind === 'subscriber' &&
      change.externalId !== undefined &&
      change.externalId !== before.externalId
    )
      throw new Problem('forbidden', 'Only a key of staff may change the externalId.', {
        errors: [{ pointer: '/externalId', detail: 'is chosen by staff' }],
      });
    // One from before there were data keys gets its own now: publishing makes none.
    if (change.encryptPayloads) await tx.vault.keyOf(tx, before.id);
    return refuseTaken(change.externalId, () =>
      subscribersRepository.update(tx, before.id, {
        ...(change.encryptPayloads === undefined ? {} : { encryptPayloads: change.encryptPayloads }),
        ...(change.name === undefined ? {} : { name: change.name }),
        ...(change.externalId === undefined ? {} : { externalId: change.externalId }),
        ...(change.metadata === undefined
          ? {}
          : { metadata: mergeMetadata(before.metadata, change.metadata) }),
      }),
    );
  }

  /** With its endpoints. Its history stays readable to staff by ids; its external id is free again. */
  async delete(tx: Tx, scope: Scope, reference: string): Promise<SubscriberEntity> {
    const subscriber = found(await subscribersRepository.lock(tx, scope, reference));
    await subscribersRepository.delete(tx, subscriber.id);
    return subscriber;
  }
}

function found(subscriber: SubscriberEntity | null): SubscriberEntity {
  if (!subscriber) throw new Problem('not_found', 'There is no such subscriber.');
  return subscriber;
}

/** An external id in the form of ours could name somebody else's subscriber. */
function checkExternalId(externalId: string | null | undefined): void {
  if (externalId?.startsWith('sub_'))
    throw new Problem(
      'invalid_request',
      'externalId must not begin with sub_: that is the form of our own ids.',
      {
        errors: [{ pointer: '/externalId', detail: 'must not begin with sub_' }],
      },
    );
}

async function refuseTaken<T>(externalId: string | null | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (violatedUnique(error) !== 'subscribers_external_id') throw error;
    throw new Problem(
      'already_exists',
      `Another subscriber has the externalId ${JSON.stringify(externalId)}.`,
      {
        errors: [{ pointer: '/externalId', detail: 'must be unique' }],
      },
    );
  }
}
