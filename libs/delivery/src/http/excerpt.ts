import { isUtf8 } from 'node:buffer';

/** How bytes that are not text are marked. */
export const BASE64_PREFIX = 'data:application/octet-stream;base64,';

/** PostgreSQL's text cannot hold U+0000, and one poison response must not fail the INSERT of a whole batch. */
const NUL_SHOWN_AS = '\u2400';

/**
 * Bytes of a stranger as a text that PostgreSQL can hold and a person can read: valid UTF-8 as it is, with each NUL shown
 * as `␀`; anything else as a base64 data URL. With `truncated`, a character cut in two by our own limit does not count
 * against the text.
 */
export function excerpt(bytes: Uint8Array, truncated = false): string {
  let text = bytes;
  if (truncated && !isUtf8(text)) text = text.subarray(0, text.length - cutTailLength(text));
  if (!isUtf8(text))
    return BASE64_PREFIX + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
  const decoded = Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8');
  return decoded.includes('\0') ? decoded.replaceAll('\0', NUL_SHOWN_AS) : decoded;
}

/** Bytes of an unfinished UTF-8 character at the end: its lead byte and what followed, at most three. */
function cutTailLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}
