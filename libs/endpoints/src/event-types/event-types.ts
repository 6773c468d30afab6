import { EVENT_TYPE_VERSIONS_MAX, Problem, type Scope } from '@app/contracts';
import { isEventTypeName, type RetryPolicyInput } from '@app/domain';
import {
  eventTypesRepository,
  type Database,
  type EventTypeRow,
  type Tx,
  type VersionChange,
} from '@app/persistence';
import { checkRetryPolicy } from '../endpoints/checks.js';

export interface NewEventType {
  name: string;
  description?: string;
  /** Unchecked; null for the default. */
  retryPolicy?: unknown;
  versions?: VersionChange[];
}

/** What is absent stays; versions are added, or changed by their name. */
export interface EventTypeChange {
  description?: string;
  /** Unchecked; null for the default. */
  retryPolicy?: unknown;
  versions?: VersionChange[];
}

const FIRST_VERSION = '1';

/** The catalogue of what can happen. Everybody may read it; only staff write it. */
export class EventTypes {
  async get(on: Pick<Database, 'query'>, name: string): Promise<EventTypeRow> {
    // What cannot be a name is not asked for: the database refuses some texts.
    return found(isEventTypeName(name) ? await eventTypesRepository.find(on, name) : null);
  }

  async register(tx: Tx, scope: Scope, wanted: NewEventType): Promise<EventTypeRow> {
    refuseBound(scope);
    if (!isEventTypeName(wanted.name))
      throw new Problem(
        'invalid_request',
        'name must be segments of letters, digits, _ or - joined by dots.',
        {
          errors: [
            { pointer: '/name', detail: 'must be segments of letters, digits, _ or - joined by dots' },
          ],
        },
      );
    const versions = wanted.versions?.length ? wanted.versions : [{ version: FIRST_VERSION }];
    refuseRepeated(versions);
    const { name, description = '' } = wanted;
    const retryPolicy = checkedPolicy(wanted.retryPolicy) ?? null;
    if (!(await eventTypesRepository.insert(tx, { name, description, retryPolicy })))
      throw new Problem('already_exists', `There is an event type ${wanted.name} already.`, {
        errors: [{ pointer: '/name', detail: 'must be unique' }],
      });
    await eventTypesRepository.putVersions(tx, wanted.name, versions);
    return this.get(tx, wanted.name);
  }

  async change(tx: Tx, scope: Scope, name: string, change: EventTypeChange): Promise<EventTypeRow> {
    refuseBound(scope);
    await this.get(tx, name);
    await eventTypesRepository.lock(tx, name);
    const { description } = change;
    const retryPolicy = checkedPolicy(change.retryPolicy);
    await eventTypesRepository.update(tx, name, { description, retryPolicy });
    if (change.versions?.length) {
      refuseRepeated(change.versions);
      await eventTypesRepository.putVersions(tx, name, change.versions);
    }
    const after = await this.get(tx, name);
    if (after.versions.length > EVENT_TYPE_VERSIONS_MAX)
      throw new Problem('limit_reached', `An event type has at most ${EVENT_TYPE_VERSIONS_MAX} versions.`, {
        limit: EVENT_TYPE_VERSIONS_MAX,
      });
    return after;
  }

  /** Events of this type stay; new ones are refused as unknown. */
  async delete(tx: Tx, scope: Scope, name: string): Promise<void> {
    refuseBound(scope);
    await this.get(tx, name);
    await eventTypesRepository.delete(tx, name);
  }
}

function checkedPolicy(policy: unknown): RetryPolicyInput | null | undefined {
  return policy === undefined || policy === null ? policy : checkRetryPolicy(policy);
}

function found(type: EventTypeRow | null): EventTypeRow {
  if (!type) throw new Problem('not_found', 'There is no such event type.');
  return type;
}

function refuseBound(scope: Scope): void {
  if (scope.kind === 'subscriber')
    throw new Problem('forbidden', 'A key that is bound to a subscriber cannot change the catalogue.');
}

function refuseRepeated(versions: VersionChange[]): void {
  const at = versions.findIndex(
    (each, n) => versions.findIndex((other) => other.version === each.version) < n,
  );
  if (at >= 0)
    throw new Problem('invalid_request', 'A version is given twice.', {
      errors: [{ pointer: `/versions/${at}/version`, detail: 'must be unique' }],
    });
}
