/** What a key may do. `admin` includes every other scope. */
export const SCOPES = [
  'events:write',
  'subscribers:read',
  'subscribers:write',
  'endpoints:read',
  'endpoints:write',
  'deliveries:read',
  'deliveries:resend',
  'secrets:read',
  'metrics:read',
  'admin',
] as const;
export type ApiScope = (typeof SCOPES)[number];

/**
 * Whose data a query may see: staff see every subscriber, a bound key only its own. A required argument
 * wherever rows of subscribers are read or moved; there is no overload without it.
 */
export type Scope =
  { readonly kind: 'staff' } | { readonly kind: 'subscriber'; readonly subscriberId: string };
export const STAFF: Scope = { kind: 'staff' };
/** The subscriber that a scope is bound to, or null for staff: the form that SQL takes. */
export function boundTo(scope: Scope): string | null {
  return scope.kind === 'subscriber' ? scope.subscriberId : null;
}
