import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('event_type_versions')
export class EventTypeVersionEntity {
  @PrimaryColumn('text', { name: 'event_type' })
  eventType: string;

  /** The name that publishers give and receivers see; the first one registered is the default. */
  @PrimaryColumn('text')
  version: string;

  /** What changed in it. */
  @Column('text')
  description: string;

  /** An example of `data`, as JSON text: shown in the catalogue and sent by test events. */
  @Column('text', { nullable: true })
  example: string | null;

  @Column({ type: 'timestamptz', name: 'created_at', insert: false, update: false })
  createdAt: Date;
}
