import type { LiveSecret } from '@app/persistence';
import { generatePrivateKey, publicKeyOf } from '@app/signing';
import type { Ids } from '../ids.js';

export type NewSecret = Pick<LiveSecret, 'kind' | 'secret' | 'publicKey'>;

/** Made here and never shown: whoever has it can sign as we do. */
export function newPrivateKey(ids: Ids): NewSecret & { publicKey: string } {
  const secret = generatePrivateKey(ids.random);
  return { kind: 'v1a', secret, publicKey: publicKeyOf(secret) };
}
