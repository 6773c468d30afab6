/** What another endpoint of the same subscriber is sent when `onFailure` names it: the delivery that failed, and its event. */
export const DELIVERY_FAILED_TYPE = 'posthorn.delivery.failed';

/** What the operator's own subscriber is sent (POSTHORN_OPERATIONAL_SUBSCRIBER). */
export const OPERATIONAL_TYPES = [
  'endpoint.failing',
  'endpoint.disabled',
  'endpoint.recovered',
  'delivery.failed',
] as const;
export type OperationalType = (typeof OPERATIONAL_TYPES)[number];

/** A delivery of this type is the handshake by which an endpoint proves that it wants deliveries. */
export const VERIFICATION_EVENT_TYPE = 'posthorn.endpoint.verification';
