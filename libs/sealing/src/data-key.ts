import { createSecretKey, type KeyObject } from 'node:crypto';
import { decrypt, encrypt, type SecretRandom } from './aead.js';

/** Where a sealed value is kept; sealed bytes open nowhere else. */
export interface Place {
  table: string;
  /** The row's key, as text. */
  row: string;
  column: string;
}

const PURPOSE = 'value';

/** The key of one subscriber's values. Its bytes never leave it: not by JSON, not by a log, not by a debugger's print. */
export class DataKey {
  readonly #key: KeyObject;

  constructor(
    readonly subscriberId: string,
    bytes: Uint8Array,
    private readonly random: SecretRandom,
  ) {
    this.#key = createSecretKey(bytes);
  }

  seal(place: Place, text: string): Buffer {
    return encrypt(this.#key, this.random, this.contextOf(place), Buffer.from(text));
  }

  /** @throws SealError not_authentic */
  open(place: Place, sealed: Uint8Array): string {
    return decrypt(this.#key, this.contextOf(place), sealed).toString();
  }

  private contextOf({ table, row, column }: Place): string[] {
    return [PURPOSE, this.subscriberId, table, row, column];
  }
}
