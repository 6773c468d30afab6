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
  'tokens:write',
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

/** What a customer may do with an access token: look, or also manage its own endpoints. */
export const TOKEN_MODES = ['read', 'manage'] as const;
export type TokenMode = (typeof TOKEN_MODES)[number];

const READ: readonly ApiScope[] = ['subscribers:read', 'endpoints:read', 'deliveries:read'];
/**
 * The scopes of an access token, on the routes that are open to customers. Who manages its endpoints may also see their
 * signing secrets: without them it cannot verify what it receives, and creating or rotating shows one anyway.
 */
export const TOKEN_SCOPES: Record<TokenMode, readonly ApiScope[]> = {
  read: READ,
  manage: [...READ, 'endpoints:write', 'deliveries:resend', 'secrets:read'],
};
