import type { OpenAPIObject } from '@nestjs/swagger';

interface Schema {
  properties?: Record<string, { description?: string; example?: unknown; examples?: unknown }>;
}

/** Fills in what a DTO leaves unsaid about fields that mean the same everywhere. A comment in the DTO goes first. */
export function describeFields(document: OpenAPIObject): void {
  for (const [schemaName, schema] of Object.entries(
    (document.components?.schemas ?? {}) as Record<string, Schema>,
  )) {
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      const text = FIELDS[`${schemaName.replace(/Dto$/, '')}.${name}`] ?? FIELDS[name];
      if (text !== undefined) field.description ??= text;
      if (name in EXAMPLES && field.example === undefined) field.example ??= EXAMPLES[name];
    }
  }
}

/** By name, or by schema and name where a name has several meanings. */
const FIELDS: Record<string, string> = {
  id: 'Its id.',
  'Delivery.id': 'The id of the delivery; the receiver sees it as `posthorn-delivery`.',
  'DeliveryWithTimeline.id': 'The id of the delivery; the receiver sees it as `posthorn-delivery`.',
  'DeliveredEvent.id': 'The id of the event: the `webhook-id` that the receiver sees.',
  'DeliveredTo.id': 'The id of the endpoint.',
  'Replay.id': 'The id of the replay.',
  'TestEventAnswer.id': 'The id of the event: the `webhook-id` that your receiver sees.',
  'BatchResult.id': 'The id of the event, when it was accepted: the `webhook-id` that receivers see.',
  subscriberId: 'The subscriber it belongs to.',
  endpointId: 'The endpoint it goes to.',
  eventType: 'The type of its event.',
  createdAt: 'When it was created.',
  updatedAt: 'When it was last changed.',
  data: 'The items of this page.',
  'DeliveredEvent.type': 'What happened.',
  'DeliveredEvent.version': 'The version of the type that `data` follows.',
  'DeliveredEvent.occurredAt': 'When it happened: the `timestamp` that the receiver sees.',
  statusCode: 'The HTTP status of the answer; null when there was none.',
  failure: 'How it failed: a class of the list at the top of this page; null for a success.',
  trigger: 'What started it: the event itself, a retry, a resend, a replay, or a test.',
  counts: 'How many of its deliveries are in each state.',
  note: 'Why nothing is sent, when nothing is.',
  errors: 'The fields that are wrong, when it was about fields.',
  deliveries: 'How many endpoints it goes to.',
  results: 'One per event, in the order of the request.',
  filters: 'What was asked to be replayed.',
  'Event.type': 'What happened.',
  'Event.version': 'The version of the type that its data follows.',
  'EventWithDeliveries.type': 'What happened.',
  'EventWithDeliveries.version': 'The version of the type that its data follows.',
  'Attempt.status': '`delivered` or `failed`; `pending` for the next one, which is due.',
  'Attempt.startedAt': 'When the request began; null for the next one.',
  'Attempt.finishedAt': 'When its outcome was known; null for the next one.',
  'Attempt.timings': 'Where the time went; null for the next one.',
  'AttemptTimings.dnsMs': 'Looking up the name, in milliseconds; null when that was not needed.',
  'AttemptTimings.connectMs': 'Connecting, in milliseconds; null on a connection that was open.',
  'AttemptTimings.tlsMs': 'The TLS handshake, in milliseconds; null without one.',
  'AttemptTimings.firstByteMs':
    'From the request to the first byte of the answer, in milliseconds; null when none came.',
  'AttemptTimings.totalMs': 'All of it, in milliseconds.',
  'DeliveredTo.url': 'Its URL now; null when it was deleted.',
  'DeliveryWithTimeline.endpoint': 'The endpoint as it is now.',
  'DeliveryCounts.pending': 'Waiting, being sent, or being tried again.',
  'DeliveryCounts.delivered': 'Answered 2xx.',
  'DeliveryCounts.failed': 'Given up.',
  'DeliveryCounts.cancelled': 'Ended without success by a disabled or deleted endpoint, or by hand.',
  'Replay.state':
    '`running` until all is resent, or until it is cancelled: by you, or by itself, when what it matches could not be counted at its start and turns out to be more than a million.',
  'ReplayFilters.subscriber': 'Only of this subscriber; null for all.',
  'ReplayFilters.endpoint': 'Only to this endpoint; null for all.',
  'ReplayFilters.eventType': 'Only of this type; null for all.',
  'ReplayFilters.status': 'Only those in this state.',
  'ReplayFilters.since': 'From this instant on.',
  'ReplayFilters.until': 'Before this instant.',
  'Resent.delivery': 'The delivery as it is now.',
};

const EXAMPLES: Record<string, unknown> = {
  errors: [{ pointer: '/type', detail: 'must be segments of letters, digits, _ or - joined by dots' }],
  note: 'no_matching_endpoint',
  limit: 250,
};
