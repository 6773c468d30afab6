/** As undici hands them over: lower-case names, a list where a name came twice. */
export type ReceivedHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Names and values together, as UTF-8 bytes: what a table row may have to hold. */
export const RESPONSE_HEADERS_BYTES_MAX = 16_384;

const REDACTED = '[redacted]';

/**
 * The receiver's headers, fit to be kept and shown: bounded, one string each, no NUL, no cookie. A `set-cookie` is the
 * receiver's own session for us: worth nothing to support, something to a thief.
 */
export function keptHeaders(headers: ReceivedHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  let room = RESPONSE_HEADERS_BYTES_MAX;
  for (const name in headers) {
    // undici keeps an own __proto__ by defineProperty; an assignment here would set the prototype instead.
    if (name === '__proto__') continue;
    const raw = headers[name];
    if (raw === undefined) continue;
    let value = typeof raw === 'string' ? raw : raw.join(', ');
    if (name === 'set-cookie' || name === 'set-cookie2') value = REDACTED;
    room -= Buffer.byteLength(name) + Buffer.byteLength(value);
    if (room < 0) break;
    kept[name] = value.includes('\0') ? value.replaceAll('\0', '\u2400') : value;
  }
  return kept;
}
