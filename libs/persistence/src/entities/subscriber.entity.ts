import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('subscribers')
export class SubscriberEntity {
  @PrimaryColumn('uuid')
  id: string;

  /** The company's own id for this customer; unique among the subscribers that are not deleted. */
  @Column('text', { name: 'external_id', nullable: true })
  externalId: string | null;

  /** What people call it. */
  @Column('text')
  name: string;

  /** The company's own notes, text to text. */
  @Column('jsonb')
  metadata: Record<string, string>;

  /** Whether its new events are stored sealed. */
  @Column('boolean', { name: 'encrypt_payloads' })
  encryptPayloads: boolean;

  /** When it was registered, by the database's clock. */
  @Column({ type: 'timestamptz', name: 'created_at', insert: false, update: false })
  createdAt: Date;

  /** When it was last changed, by the database's clock. */
  @Column({ type: 'timestamptz', name: 'updated_at', insert: false })
  updatedAt: Date;

  /** Set once: a deleted subscriber is kept for its history and never found again. */
  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt: Date | null;
}
