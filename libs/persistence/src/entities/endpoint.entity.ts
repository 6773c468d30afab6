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

  /** Headers sent with every delivery; the values are secrets. */
  @Column('jsonb')
  headers: Record<string, string>;

  /** The customer's own notes, text to text. */
  @Column('jsonb')
  metadata: Record<string, string>;

  /** How long one attempt may take in all. */
  @Column('integer', { name: 'timeout_ms' })
  timeoutMs: number;

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
