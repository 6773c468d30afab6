import { Problem, type Priority } from '@app/contracts';
import { matchesAny, newId, type Random } from '@app/domain';
import type { EndpointForMatch, NewDelivery, NewEvent, SubscriberForAccept } from '@app/persistence';
import type { WrappedKey } from '@app/sealing';

/** An event that a publisher wants accepted, checked as far as its own text goes. */
export interface ParsedEvent {
  /** The subscriber's uuid, or the company's own id for it. */
  subscriber: { id: string } | { externalId: string };
  type: string;
  version: string | null;
  /** The bytes of `data`, exactly as they stood in the request. */
  data: string;
  occurredAt: Date | null;
  /** The publisher's own id, as a uuid. */
  id: string | null;
  priority: Priority;
  /** What it is ordered by at ordered endpoints; null: among all events without one. */
  orderingKey: string | null;
  traceparent: string | null;
}

/** An event to accept; a test goes to one endpoint, whatever it subscribes to. */
export interface AcceptableEvent extends ParsedEvent {
  testOf?: string;
  /** The test asks the endpoint to prove that it wants deliveries. */
  verifies?: true;
  /** Made by us about a failure: its type needs no entry in the catalogue. For one endpoint, or for all that match. */
  notice?: { endpointId: string | null };
  /** Stored sealed whatever its subscriber says: it repeats what is. */
  seal?: boolean;
}

/** What the catalogue and the subscribers were when the group was accepted. */
export interface Catalogue {
  subscribers: SubscriberForAccept[];
  /** Versions of each known type, the first registered first. */
  versions: Map<string, string[]>;
}

export interface PlannedEvent {
  event: NewEvent;
  /** Held where the lane was full when it was read; the lanes themselves decide when they are written. */
  deliveries: NewDelivery[];
  /** The publisher chose the event's id, so it may be taken already. */
  ownId: boolean;
  /** Accepted beside a full backlog: tests have a bound of their own, and what we tell ourselves comes of what was accepted. */
  unbounded: boolean;
}

/** The key of events without one: they go one after the other among themselves. */
const WHOLE_ENDPOINT = '';

/** Types that begin so are ours: nobody publishes them, whatever the catalogue says. */
export const RESERVED_PREFIX = 'posthorn.';
/** Sent by a test that names no type. */
export const TEST_EVENT_TYPE = 'posthorn.test';

/** One event with its deliveries, or why it is refused. Pure but for the ids. */
export function planEvent(
  input: AcceptableEvent,
  catalogue: Catalogue,
  now: Date,
  random: Random,
): PlannedEvent | Problem {
  const wanted = input.subscriber;
  const subscriber = catalogue.subscribers.find((known) =>
    'id' in wanted ? known.id === wanted.id : known.externalId === wanted.externalId,
  );
  if (!subscriber)
    return new Problem('unknown_subscriber', 'No subscriber has this id or externalId.', {
      errors: [{ pointer: '/subscriber', detail: 'must be the id (sub_…) or externalId of a subscriber' }],
    });
  const version = versionOf(input, catalogue);
  if (version instanceof Problem) return version;

  const id = input.id ?? newId(now.getTime(), random);
  const only = input.testOf ?? input.notice?.endpointId;
  const matching = subscriber.endpoints.filter((endpoint) =>
    only ? endpoint.id === only : matchesAny(endpoint.eventTypes, input.type),
  );
  const deliveries = matching.map((endpoint): NewDelivery => ({
    // Of the same instant as the event, so that both lie in the same day's partitions and leave together.
    id: newId(now.getTime(), random),
    subscriberId: subscriber.id,
    eventId: id,
    endpointId: endpoint.id,
    eventType: input.type,
    trigger: input.testOf ? 'test' : 'event',
    critical: input.priority === 'critical',
    // A test answers a person who waits for it: it overtakes.
    orderingKey: endpoint.ordered && !input.testOf ? (input.orderingKey ?? WHOLE_ENDPOINT) : null,
    place: placeFor(endpoint, input),
  }));
  const event: NewEvent = {
    id,
    subscriberId: subscriber.id,
    type: input.type,
    version,
    data: input.data,
    sealWith: subscriber.encryptPayloads || input.seal ? keyOf(subscriber) : null,
    matched: deliveries.length,
    traceparent: input.traceparent,
    occurredAt: input.occurredAt ?? now,
    priority: input.priority,
    orderingKey: input.orderingKey,
  };
  const unbounded = input.testOf !== undefined || input.notice !== undefined;
  return { event, deliveries, ownId: input.id !== null, unbounded };
}

/** Nothing is stored open for want of a key: it is made when a subscriber is, or chooses to have its payloads sealed. */
function keyOf({ id, dataKey }: SubscriberForAccept): WrappedKey {
  if (dataKey === null)
    throw new Error(`Bug: subscriber ${id} wants its payloads sealed and has no data key`);
  return dataKey;
}

/**
 * A test overtakes a full lane and a circuit that is open: whoever sends it has just mended something. A critical event
 * overtakes a backlog; whether its lane lets it is decided under its lock.
 */
function placeFor(endpoint: EndpointForMatch, { testOf, priority }: AcceptableEvent): NewDelivery['place'] {
  if (endpoint.disabled) return 'cancelled';
  if (testOf) return 'queued';
  if (endpoint.ordered) return 'held';
  return endpoint.laneFull && priority !== 'critical' ? 'held' : 'queued';
}

function versionOf(input: AcceptableEvent, catalogue: Catalogue): string | Problem {
  if (input.notice || (input.testOf && (input.verifies || input.type === TEST_EVENT_TYPE))) return '1';
  const versions = input.type.startsWith(RESERVED_PREFIX) ? undefined : catalogue.versions.get(input.type);
  if (!versions)
    return new Problem(
      'unknown_event_type',
      `The event type "${input.type}" is not in the catalogue; register it with POST /v1/event-types.`,
      {
        errors: [{ pointer: '/type', detail: 'must be a registered event type' }],
      },
    );
  // The first one, not the newest: registering version 2 must not relabel what is already published.
  if (input.version === null) return versions[0] ?? '1';
  if (versions.includes(input.version)) return input.version;
  return new Problem(
    'unknown_event_type_version',
    `The event type "${input.type}" has no version "${input.version}".`,
    {
      errors: [{ pointer: '/version', detail: `must be one of ${versions.join(', ')}` }],
    },
  );
}
