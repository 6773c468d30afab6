import { SealError, type DataKey, type Keyring, type WrappedKey } from '@app/sealing';
import { Generations } from './generations.js';

/** A Database or a Tx, as far as keys need one; neither is imported, they have a vault. */
interface Queries {
  query<T extends object>(text: string, values?: unknown[]): Promise<T[]>;
}

// Of a hundred bytes each; a worker that serves more subscribers at once than two generations hold unwraps again (4 µs).
const GENERATION_MAX = 10_000;
// The key of a subscriber that was deleted is asked for by nobody, so it is gone after two of these.
const GENERATION_MS = 30_000;

/**
 * The data keys of subscribers, and the only way to them. Unwrapped keys are kept in memory by their wrapped bytes, which
 * are read from the database each time: a key that was made and rolled back is never used, one that was destroyed is not
 * found again.
 */
export class Vault {
  private readonly unwrapped = new Generations<DataKey>(GENERATION_MAX, GENERATION_MS);

  constructor(private readonly keyring: Keyring | null) {}

  /** @throws SealError also when this process was given no KEKs */
  unwrap(row: WrappedKey): DataKey {
    const name = `${row.subscriberId} ${row.kekId} ${row.wrapped.toString('latin1')}`;
    let key = this.unwrapped.get(name);
    if (key === undefined) this.unwrapped.set(name, (key = this.keks.unwrap(row)));
    return key;
  }

  /** The key of a subscriber; null when it was destroyed with it, or not made yet. */
  async findKey(on: Queries, subscriberId: string): Promise<DataKey | null> {
    return (await this.findKeys(on, [subscriberId])).get(subscriberId) ?? null;
  }

  async findKeys(on: Queries, subscriberIds: string[]): Promise<Map<string, DataKey>> {
    const rows = await on.query<WrappedKey>(
      'SELECT subscriber_id AS "subscriberId", kek_id AS "kekId", wrapped FROM data_keys WHERE subscriber_id = ANY($1::uuid[])',
      [subscriberIds],
    );
    return new Map(rows.map((row) => [row.subscriberId, this.unwrap(row)]));
  }

  /**
   * The key of a subscriber that is not deleted, to seal with; made when there is none yet. Of two who make it at once
   * the second waits for the first and takes its key.
   */
  async keyOf(tx: Queries, subscriberId: string): Promise<DataKey> {
    const key = await this.findKey(tx, subscriberId);
    if (key) return key;
    await this.makeKeys(tx, [subscriberId]);
    const made = await this.findKey(tx, subscriberId);
    if (!made) throw new Error(`Bug: nothing can be sealed for the deleted subscriber ${subscriberId}`);
    return made;
  }

  /** For those of them that have none and are not deleted. In order of id: two who make some never wait in a circle. */
  async makeKeys(tx: Queries, subscriberIds: string[]): Promise<void> {
    const made = [...new Set(subscriberIds)].sort().map((id) => this.keks.make(id));
    await tx.query(
      `INSERT INTO data_keys (subscriber_id, kek_id, wrapped)
       SELECT k.* FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS k (subscriber_id, kek_id, wrapped)
        WHERE EXISTS (SELECT 1 FROM subscribers s WHERE s.id = k.subscriber_id AND s.deleted_at IS NULL)
       ON CONFLICT DO NOTHING`,
      [made.map((row) => row.subscriberId), made.map((row) => row.kekId), made.map((row) => row.wrapped)],
    );
  }

  get keks(): Keyring {
    if (this.keyring) return this.keyring;
    throw new SealError('no_keks', 'This needs POSTHORN_KEKS, or the key file that `posthorn up` has made.');
  }
}
