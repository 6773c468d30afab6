import { AsyncLocalStorage } from 'node:async_hooks';
import { boundTo, type Scope } from '@app/contracts';
import { isUuid } from '@app/domain';

/** As `posthorn.scope` takes it: '*', or uuids with commas. */
const settings = new AsyncLocalStorage<string>();

const EVERY_SUBSCRIBER = '*';

/**
 * Whatever `work` asks of the api's database, and all that it starts, sees the rows of these scopes and no others: the
 * second line, below every predicate that a query has of its own. Without a scope there are no rows. Called where a
 * request's caller is known (apps/api/src/edge/http-hooks.ts), and by T1, whose transaction is of several callers.
 */
export function inScopes<T>(scopes: readonly Scope[], work: () => T): T {
  const ids = new Set(scopes.map(boundTo));
  if (ids.has(null)) return settings.run(EVERY_SUBSCRIBER, work);
  const setting = [...ids].join(',');
  // It becomes a part of a statement.
  if (![...ids].every((id) => isUuid(id!))) throw new Error(`Bug: ${setting} is no scope`);
  return settings.run(setting, work);
}

/**
 * For what the api asks on nobody's behalf: who a caller is, its own key at start, whether its KEKs are right, whether an
 * event's id is taken by anybody, how much is pending in all. Nothing else; whoever adds a use adds it here.
 */
export function asSystem<T>(work: () => T): T {
  return settings.run(EVERY_SUBSCRIBER, work);
}

/** Undefined: nobody's. */
export function currentSetting(): string | undefined {
  return settings.getStore();
}

/** Of this transaction only: a setting of the session would be the next caller's, too. */
export function setLocally(setting: string): string {
  return `SET LOCAL posthorn.scope = '${setting}'`;
}

export { EVERY_SUBSCRIBER };
