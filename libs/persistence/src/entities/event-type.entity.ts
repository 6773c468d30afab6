import type { RetryPolicyInput } from '@app/domain';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('event_types')
export class EventTypeEntity {
  /** The dot-delimited name, `invoice.paid`. */
  @PrimaryColumn('text')
  name: string;

  /** When it happens, for the customer who reads the catalogue. */
  @Column('text')
  description: string;

  /** When its deliveries are tried again, at endpoints without a policy of their own; null for the default. */
  @Column('jsonb', { name: 'retry_policy', nullable: true })
  retryPolicy: RetryPolicyInput | null;

  @Column({ type: 'timestamptz', name: 'created_at', insert: false, update: false })
  createdAt: Date;

  @Column({ type: 'timestamptz', name: 'updated_at', insert: false })
  updatedAt: Date;
}
