/** Nothing of an answer may be run, framed or fetched by a page; a browser that is shown one does nothing with it. */
const API_POLICY = "default-src 'none'; frame-ancestors 'none'";

/**
 * Swagger UI: scripts are files of ours and nothing else. Styles may stand in the page, because the page's own do, and
 * a style can reach nobody: what may be loaded is ours, too.
 */
const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const DOCS = /^\/docs(\/|\?|$)/;
// A year, as browsers' preload lists ask. Without subdomains: they may be others'.
const HSTS = 'max-age=31536000';

/** What browsers must know of every answer, whatever it is. `isHttps`: over what the client reached us. */
export function securityHeaders(url: string, isHttps: boolean): Record<string, string> {
  const isDocs = DOCS.test(url);
  return {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'x-frame-options': 'DENY',
    'content-security-policy': isDocs ? DOCS_POLICY : API_POLICY,
    'cross-origin-resource-policy': 'same-origin',
    ...(isDocs
      ? {
          'cross-origin-opener-policy': 'same-origin',
          'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
        }
      : { 'cache-control': 'no-store' }),
    ...(isHttps ? { 'strict-transport-security': HSTS } : {}),
  };
}
