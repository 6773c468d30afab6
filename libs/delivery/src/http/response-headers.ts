/** Names and values together, as UTF-8 bytes: what a table row may have to hold. */
export const RESPONSE_HEADERS_BYTES_MAX = 16_384;

const REDACTED = '[redacted]';

/**
 * The receiver's headers (a name in lower case, its value, the next name, …), fit to be kept and shown: bounded, one string
 * each, no NUL, no cookie. A `set-cookie` is the receiver's own session for us: worth nothing to support, something to a thief.
 */
export function keptHeaders(received: readonly string[]): Record<string, string> {
  const kept: Record<string, string> = {};
  let room = RESPONSE_HEADERS_BYTES_MAX;
  for (let at = 0; at < received.length; at += 2) {
    const name = received[at];
    // An assignment would set the prototype instead.
    if (name === '__proto__') continue;
    const secret = name === 'set-cookie' || name === 'set-cookie2';
    const value = secret ? REDACTED : received[at + 1];
    if (!Object.hasOwn(kept, name)) {
      room -= Buffer.byteLength(name) + Buffer.byteLength(value);
      if (room < 0) break;
      kept[name] = value;
    } else if (!secret) {
      room -= 2 + Buffer.byteLength(value);
      if (room < 0) break;
      kept[name] += `, ${value}`;
    }
  }
  return kept;
}
