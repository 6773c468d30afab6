/** What the audit log tells of, by names that stay: people and alarms match on them. Publishing has its own record, the events. */
export const AUDIT_ACTIONS = [
  'subscriber.create',
  'subscriber.update',
  'subscriber.delete',
  'endpoint.create',
  'endpoint.update',
  'endpoint.delete',
  'endpoint.disable',
  'endpoint.enable',
  'endpoint.pause',
  'endpoint.resume',
  'endpoint.test',
  'endpoint.verify',
  'endpoint_secret.reveal',
  'endpoint_secret.rotate',
  'event_type.create',
  'event_type.update',
  'event_type.delete',
  'delivery.resend',
  'delivery.cancel',
  'replay.start',
  'replay.cancel',
  'api_key.create',
  'api_key.rotate',
  'api_key.revoke',
  'access_token.create',
  'access_token.revoke',
  'data_key.rewrap',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** Who did it: an API key, a customer's access token, the command line, or Posthorn by itself. */
export const AUDIT_ACTOR_KINDS = ['key', 'token', 'cli', 'system'] as const;
export type AuditActorKind = (typeof AUDIT_ACTOR_KINDS)[number];
