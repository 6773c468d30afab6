import type { DataKey, Place } from '@app/sealing';
import type { Vault } from './vault.js';

/** The columns of an event that was stored sealed, and of its subscriber's data key; nulls when that was destroyed. */
export interface SealedEvent {
  id: string;
  subscriberId: string;
  dataSealed: Buffer | null;
  kekId: string | null;
  wrapped: Buffer | null;
}

/** Where a payload is sealed. */
export function dataAt(eventId: string): Place {
  return { table: 'events', row: eventId, column: 'data_sealed' };
}

/** The payload, byte for byte as published; null when its key was destroyed with the subscriber. @throws SealError */
export function openData(vault: Vault, event: SealedEvent & { dataSealed: Buffer }): string | null {
  return keyIn(vault, event)?.open(dataAt(event.id), event.dataSealed) ?? null;
}

/** What a receiver answered, as it is kept: of a sealed event in one sealed text, because it may repeat the payload. */
export interface KeptResponse {
  responseHeaders: string | null;
  responseBody: string | null;
  responseEncoding: 'utf8' | 'base64' | null;
}

export const NO_RESPONSE: KeptResponse = {
  responseHeaders: null,
  responseBody: null,
  responseEncoding: null,
};

export function sealResponse(key: DataKey, attemptId: string, response: KeptResponse): Buffer | null {
  const { responseHeaders, responseBody, responseEncoding } = response;
  if (responseHeaders === null && responseBody === null) return null;
  return key.seal(responseAt(attemptId), JSON.stringify({ responseHeaders, responseBody, responseEncoding }));
}

/** Null when the key was destroyed with the subscriber. @throws SealError */
export function openResponse(
  vault: Vault,
  attempt: Omit<SealedEvent, 'dataSealed'> & { responseSealed: Buffer },
): KeptResponse | null {
  const text = keyIn(vault, attempt)?.open(responseAt(attempt.id), attempt.responseSealed);
  return text === undefined ? null : (JSON.parse(text) as KeptResponse);
}

function responseAt(attemptId: string): Place {
  return { table: 'attempts', row: attemptId, column: 'response_sealed' };
}

function keyIn(
  vault: Vault,
  { subscriberId, kekId, wrapped }: Pick<SealedEvent, 'subscriberId' | 'kekId' | 'wrapped'>,
): DataKey | null {
  return kekId !== null && wrapped !== null ? vault.unwrap({ subscriberId, kekId, wrapped }) : null;
}
