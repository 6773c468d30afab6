import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('endpoint_secrets')
export class EndpointSecretEntity {
  /** Newer secrets have larger ids (UUIDv7): the order in which they sign. */
  @PrimaryColumn('uuid')
  id: string;

  @PrimaryColumn('uuid', { name: 'subscriber_id' })
  subscriberId: string;

  @Column('uuid', { name: 'endpoint_id' })
  endpointId: string;

  /** `whsec_` and base64, from before secrets were sealed. */
  @Column('text', { nullable: true })
  secret: string | null;

  /** The same, sealed; exactly one of the two is there. */
  @Column('bytea', { name: 'secret_sealed', nullable: true })
  secretSealed: Buffer | null;

  /** `v1`: a secret for HMAC. `v1a`: a private key of ed25519, `whsk_` and base64. */
  @Column('text')
  kind: 'v1' | 'v1a';

  /** The public half of a private key, `whpk_` and base64; null for a secret. */
  @Column('text', { name: 'public_key', nullable: true })
  publicKey: string | null;

  @Column({ type: 'timestamptz', name: 'created_at', insert: false, update: false })
  createdAt: Date;

  /** When it stops signing, for one that was rotated out; null for the current one. */
  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;
}
