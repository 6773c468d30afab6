import { Problem, type Scope } from '@app/contracts';
import { findSubscriber } from '@app/console';
import { fromPublicId } from '@app/domain';
import type { Reader } from '@app/persistence';

// Nobody's uuid: a filter that names nobody finds nothing, by the same road.
const NOBODY = '00000000-0000-0000-0000-000000000000';

/** The subscriber of a filter. Who is not known, or not visible, has nothing to list: no error, an empty list. */
export async function subscriberFilter(
  reader: Reader,
  scope: Scope,
  subscriber: string | undefined,
): Promise<string | undefined> {
  if (subscriber === undefined) return undefined;
  return (await findSubscriber(reader, scope, subscriber)) ?? NOBODY;
}

export function endpointFilter(endpoint: string | undefined): string | undefined {
  return endpoint === undefined ? undefined : (fromPublicId('ep', endpoint) ?? NOBODY);
}

/** The instant of a filter, whose form the DTO has checked; a day that does not exist (30 February) has that form too. */
export function instantFilter(pointer: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const at = new Date(text);
  const day = Number(text.slice(8, 10));
  if (Number.isNaN(at.getTime()) || day > daysIn(text)) {
    const detail = 'is not an instant of the calendar';
    throw new Problem('invalid_request', `\`${pointer}\` ${detail}.`, { errors: [{ pointer, detail }] });
  }
  return at;
}

function daysIn(text: string): number {
  return new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0)).getUTCDate();
}
