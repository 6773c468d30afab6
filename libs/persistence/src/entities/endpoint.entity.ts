import type { RateLimit, RetryPolicyInput } from '@app/domain';
import type { ShownCredentials, SignatureKind } from '../credentials.js';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('endpoints')
export class EndpointEntity {
  @PrimaryColumn('uuid')
  id: string;

  /** Whose endpoint it is; part of the key, as in every table of subscribers. */
  @PrimaryColumn('uuid', { name: 'subscriber_id' })
  subscriberId: string;

  /** Where deliveries go, in the serialised form that was checked. */
  @Column('text')
  url: string;

  /** What people call it. */
  @Column('text')
  description: string;

  /** Patterns of event types it wants: exact, `invoice.*`, `*`. */
  @Column('text', { name: 'event_types', array: true })
  eventTypes: string[];

  /** Names of the headers sent with every delivery; the values are empty when they are sealed. */
  @Column('jsonb')
  headers: Record<string, string>;

  /** JSON of the headers, names and values; null when there are none, or they are not sealed yet. */
  @Column('bytea', { name: 'headers_sealed', nullable: true })
  headersSealed: Buffer | null;

  /** The customer's own notes, text to text. */
  @Column('jsonb')
  metadata: Record<string, string>;

  /** How long one attempt may take in all. */
  @Column('integer', { name: 'timeout_ms' })
  timeoutMs: number;

  /** When its deliveries are tried again, as the customer wrote it; null for the event type's or the default. */
  @Column('jsonb', { name: 'retry_policy', nullable: true })
  retryPolicy: RetryPolicyInput | null;

  /** How much it takes; null for no limit. */
  @Column('jsonb', { name: 'rate_limit', nullable: true })
  rateLimit: RateLimit | null;

  /** The share of its attempts that may be retries. */
  @Column('smallint', { name: 'retry_budget_percent' })
  retryBudgetPercent: number;

  /** One delivery after the other, per ordering key. */
  @Column('boolean')
  ordered: boolean;

  /** What a delivery that failed for good means for those behind it. */
  @Column('text', { name: 'ordered_failure' })
  orderedFailure: 'block' | 'skip';

  /** The endpoint of the same subscriber that is told of failed deliveries. */
  @Column('uuid', { name: 'on_failure_endpoint_id', nullable: true })
  onFailureEndpointId: string | null;

  /** Disabled after failing for so long; null for never. */
  @Column('integer', { name: 'disable_after_seconds', nullable: true })
  disableAfterSeconds: number | null;

  /** And so often at least. */
  @Column('integer', { name: 'disable_attempts_min' })
  disableAttemptsMin: number;

  /** How it has to prove that it wants deliveries. */
  @Column('text')
  verification: 'none' | 'challenge' | 'cloudevents';

  /** When it last did, for the URL that it has; null while it has not. */
  @Column('timestamptz', { name: 'verified_at', nullable: true })
  verifiedAt: Date | null;
  /** Which signatures stand in `webhook-signature`. */
  @Column('text', { array: true })
  signatures: SignatureKind[];

  /** Further headers with a signature, without their secrets. */
  @Column('jsonb', { name: 'signature_headers' })
  signatureHeaders: ShownCredentials['signatureHeaders'];

  /** What is sent in `authorization`, without its secret; null for nothing. */
  @Column('jsonb', { nullable: true })
  auth: ShownCredentials['auth'];

  /** Client certificate and authority, PEM, without the private key; null for neither. */
  @Column('jsonb', { nullable: true })
  tls: ShownCredentials['tls'];

  /** What was left out of the three above, sealed; null when that is nothing. */
  @Column('bytea', { name: 'credentials_sealed', nullable: true })
  credentialsSealed: Buffer | null;

  /** Set while disabled: no request goes there, its new deliveries are cancelled. */
  @Column('timestamptz', { name: 'disabled_at', nullable: true })
  disabledAt: Date | null;

  /** Why it is disabled, in words. */
  @Column('text', { name: 'disabled_reason', nullable: true })
  disabledReason: string | null;

  /** When it was registered, by the database's clock. */
  @Column({ type: 'timestamptz', name: 'created_at', insert: false, update: false })
  createdAt: Date;

  /** When it was last changed, by the database's clock. */
  @Column({ type: 'timestamptz', name: 'updated_at', insert: false })
  updatedAt: Date;

  /** Set once: a deleted endpoint is kept for its deliveries' history. */
  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt: Date | null;
}
