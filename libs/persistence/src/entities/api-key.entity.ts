import type { ApiScope } from '@app/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('api_keys')
export class ApiKeyEntity {
  @PrimaryColumn('uuid')
  id: string;

  /** Who uses it. */
  @Column('text')
  name: string;

  /** SHA-256 of the whole key: the key is random, so a slow hash would protect nothing more. */
  @Column('bytea', { name: 'key_hash' })
  keyHash: Buffer;

  /** What it may do. */
  @Column('text', { array: true })
  scopes: ApiScope[];

  /** The only subscriber it may see, or null for every one. */
  @Column('uuid', { name: 'subscriber_id', nullable: true })
  subscriberId: string | null;

  @Column({ type: 'timestamptz', name: 'created_at', insert: false, update: false })
  createdAt: Date;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt: Date | null;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt: Date | null;
}
