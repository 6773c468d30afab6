import type { Scope } from '@app/contracts';
import { fromPublicId } from '@app/domain';
import { findSubscriberByExternalId, type Reader } from '@app/persistence';

/** The uuid behind what a filter calls a subscriber: our id, or the company's own. Undefined: nobody, in this scope. */
export async function findSubscriber(
  reader: Reader,
  scope: Scope,
  text: string,
): Promise<string | undefined> {
  return fromPublicId('sub', text) ?? (await findSubscriberByExternalId(reader, scope, text));
}
