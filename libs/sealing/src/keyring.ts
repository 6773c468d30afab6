import { createSecretKey, type KeyObject } from 'node:crypto';
import { decrypt, encrypt, KEY_BYTES, type SecretRandom } from './aead.js';
import { DataKey } from './data-key.js';
import type { Kek } from './keks.js';
import { SealError } from './seal-error.js';

/** A data key as the database keeps it. */
export interface WrappedKey {
  subscriberId: string;
  kekId: string;
  wrapped: Buffer;
}

const PURPOSE = 'data-key';

/** The KEKs of this process: they wrap data keys, with the first one, and unwrap them with whichever it was. */
export class Keyring {
  readonly #keks: ReadonlyMap<string, KeyObject>;
  readonly primaryId: string;

  /** @param keks as parseKeks gives them: at least one, the primary one first */
  constructor(
    keks: readonly Kek[],
    private readonly random: SecretRandom,
  ) {
    this.#keks = new Map(keks.map(({ id, bytes }) => [id, createSecretKey(bytes)]));
    this.primaryId = keks[0].id;
  }

  get ids(): string[] {
    return [...this.#keks.keys()];
  }

  /** A new data key, wrapped. */
  make(subscriberId: string): WrappedKey {
    return this.wrap(subscriberId, this.random.bytes(KEY_BYTES));
  }

  /** @throws SealError unknown_kek or not_authentic */
  unwrap(row: WrappedKey): DataKey {
    return new DataKey(row.subscriberId, this.bytesOf(row), this.random);
  }

  /** The same data key, wrapped by the primary KEK. @throws as unwrap */
  rewrap(row: WrappedKey): WrappedKey {
    return this.wrap(row.subscriberId, this.bytesOf(row));
  }

  private wrap(subscriberId: string, bytes: Uint8Array): WrappedKey {
    const kek = this.#keks.get(this.primaryId)!;
    const wrapped = encrypt(kek, this.random, contextOf(subscriberId, this.primaryId), bytes);
    return { subscriberId, kekId: this.primaryId, wrapped };
  }

  private bytesOf({ subscriberId, kekId, wrapped }: WrappedKey): Buffer {
    const kek = this.#keks.get(kekId);
    if (!kek) throw new SealError('unknown_kek', `POSTHORN_KEKS has no key with the id ${kekId}`);
    return decrypt(kek, contextOf(subscriberId, kekId), wrapped);
  }
}

function contextOf(subscriberId: string, kekId: string): string[] {
  return [PURPOSE, subscriberId, kekId];
}
