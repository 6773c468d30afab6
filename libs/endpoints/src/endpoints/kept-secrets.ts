import { Problem, type FieldProblem } from '@app/contracts';
import { AUTH_SECRETS, type ReceiverAuth } from '@app/domain';
import type { EndpointRow } from '@app/persistence';
import type { TextsChange } from '../metadata.js';
import { MASK } from './headers.js';

/**
 * Whoever may change the URL, but was never shown the header values and credentials, could have them sent to himself: to
 * another origin only those go that the same change gives anew. (Signing secrets and client keys are not sent.)
 * @throws Problem invalid_request
 */
export function refuseKeptSecrets(
  before: Pick<EndpointRow, 'url' | 'headers' | 'auth'>,
  change: { headers?: TextsChange; auth?: unknown },
  url: string,
): void {
  if (new URL(url).origin === new URL(before.url).origin) return;
  const errors: FieldProblem[] = keptHeaders(before.headers, change.headers).map((name) => ({
    pointer: `/headers/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
    detail: 'does not go along to another host: give its value again, or null',
  }));
  if (keepsAuth(before.auth, change.auth))
    errors.push({ pointer: '/auth', detail: 'does not go along to another host: give it whole, or null' });
  if (errors.length > 0)
    throw new Problem('invalid_request', `\`${errors[0].pointer}\` ${errors[0].detail}.`, { errors });
}

/** Names whose value the change neither gives nor takes away. */
function keptHeaders(before: EndpointRow['headers'], change: TextsChange | undefined): string[] {
  if (change === null) return [];
  const given = new Map(Object.entries(change ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  return Object.keys(before).filter((name) => {
    const value = given.get(name.toLowerCase());
    return value === undefined || value === MASK;
  });
}

function keepsAuth(before: EndpointRow['auth'], change: unknown): boolean {
  if (before === null) return false;
  if (change === undefined) return true;
  const given = (change ?? {}) as Record<string, unknown>;
  const secret = AUTH_SECRETS[given.type as ReceiverAuth['type']];
  return secret !== undefined && given[secret] === MASK;
}
