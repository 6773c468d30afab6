import { v7 } from 'uuid';
import type { Random } from './random.js';

/**
 * Ids are UUIDv7 in the tables and TypeIDs (https://github.com/jetify-com/typeid, version 0.3) at the border: a prefix,
 * `_`, and the 128 bits in 26 characters of lower-case Crockford base32.
 */
export const ID_PREFIXES = {
  subscriber: 'sub',
  endpoint: 'ep',
  event: 'evt',
  delivery: 'dlv',
  attempt: 'att',
  replay: 'rpl',
  key: 'key',
  token: 'tok',
  audit: 'aud',
} as const;
export type IdPrefix = (typeof ID_PREFIXES)[keyof typeof ID_PREFIXES];

let lastMs = -1;
let sequence = 0;

/**
 * A new UUIDv7 of the millisecond `ms`. Within one process, ids of the same millisecond sort in the order they were made
 * (RFC 9562, method 1: a 32-bit counter that starts at random; 2^31 steps are left, so it cannot wrap). The id always
 * carries the `ms` it was given, also when a clock steps back: partitions are chosen by it.
 */
export function newId(ms: number, random: Random): string {
  const bytes = random.bytes(16);
  if (ms === lastMs) {
    sequence++;
  } else {
    lastMs = ms;
    sequence = ((bytes[0] & 0x7f) << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
  }
  return v7({ msecs: ms, random: bytes, seq: sequence });
}

/** Milliseconds since 1970 in a UUIDv7. */
export function uuidTimeMs(uuid: string): number {
  return parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
}

/** The smallest uuid of a millisecond: every id made from it on sorts at or above. For partition bounds and time filters. */
export function uuidFloor(ms: number): string {
  if (!Number.isInteger(ms) || ms < 0 || ms > 0xffffffffffff)
    throw new Error(`Bug: not a UUIDv7 time: ${ms}`);
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Plain lower-case text form, as PostgreSQL prints it. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

// Own tables because every row of every list passes here: measured on Node 26, typeid-js writes 640,000/s and reads
// 310,000/s, these 5,400,000/s each. (uuid's v7 with everything given makes 3,800,000/s: no need for our own.)
// ids.spec.ts compares every answer with typeid-js and keeps a floor under the speed.
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const SUFFIX_LENGTH = 26;

/** Five bits to the code of their character. */
const CODES = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0));
/** Two hex characters of a byte. */
const BYTES: readonly string[] = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'));
const HEX_VALUE = valuesOf('0123456789abcdef');
const BASE32_VALUE = valuesOf(ALPHABET);

/** `dlv_01h…` for a uuid out of our own tables; anything else is a bug of the caller, not of a customer. */
export function toPublicId(prefix: IdPrefix, uuid: string): string {
  if (uuid.length !== 36) throw new Error(`Bug: not a uuid: ${uuid}`);
  // 2 hex digits are the first 8 bits (the leading two of 130 are zero), then 5 hex digits are 4 characters, six times.
  const first = (hexAt(uuid, 0) << 4) | hexAt(uuid, 1);
  const a = fiveAt(uuid, 2, 3, 4, 5, 6);
  const b = fiveAt(uuid, 7, 9, 10, 11, 12);
  const c = fiveAt(uuid, 14, 15, 16, 17, 19);
  const d = fiveAt(uuid, 20, 21, 22, 24, 25);
  const e = fiveAt(uuid, 26, 27, 28, 29, 30);
  const f = fiveAt(uuid, 31, 32, 33, 34, 35);
  // In one call, so that the text is one piece: made of pairs it is a tree of thirteen, which whoever sends it flattens.
  // prettier-ignore
  const suffix = String.fromCharCode(
    CODES[first >> 5], CODES[first & 31],
    CODES[a >> 15], CODES[(a >> 10) & 31], CODES[(a >> 5) & 31], CODES[a & 31],
    CODES[b >> 15], CODES[(b >> 10) & 31], CODES[(b >> 5) & 31], CODES[b & 31],
    CODES[c >> 15], CODES[(c >> 10) & 31], CODES[(c >> 5) & 31], CODES[c & 31],
    CODES[d >> 15], CODES[(d >> 10) & 31], CODES[(d >> 5) & 31], CODES[d & 31],
    CODES[e >> 15], CODES[(e >> 10) & 31], CODES[(e >> 5) & 31], CODES[e & 31],
    CODES[f >> 15], CODES[(f >> 10) & 31], CODES[(f >> 5) & 31], CODES[f & 31],
  );
  return `${prefix}_${suffix}`;
}

/**
 * The uuid inside a public id, or undefined when it is not exactly one of ours: other prefix, other length, upper case,
 * a letter base32 does not have, or more than 128 bits. One id has one spelling, so equal ids are equal strings.
 */
export function fromPublicId(prefix: IdPrefix, text: string): string | undefined {
  const from = prefix.length + 1;
  if (text.length !== from + SUFFIX_LENGTH || !text.startsWith(prefix) || text.charCodeAt(from - 1) !== 95) {
    return undefined;
  }
  let out = '';
  let bits = 0;
  let held = 0;
  let bytes = 0;
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? BASE32_VALUE[code] : -1;
    if (value < 0) return undefined;
    if (i === from) {
      // 26 characters hold 130 bits: a first character above 7 would be a number a uuid cannot hold.
      if (value > 7) return undefined;
      bits = value;
      held = 3;
      continue;
    }
    bits = (bits << 5) | value;
    held += 5;
    if (held >= 8) {
      held -= 8;
      out += BYTES[bits >> held];
      bits &= (1 << held) - 1;
      bytes++;
      if (bytes === 4 || bytes === 6 || bytes === 8 || bytes === 10) out += '-';
    }
  }
  return out;
}

function hexAt(uuid: string, at: number): number {
  return HEX_VALUE[uuid.charCodeAt(at)];
}

function fiveAt(uuid: string, a: number, b: number, c: number, d: number, e: number): number {
  return (
    (hexAt(uuid, a) << 16) |
    (hexAt(uuid, b) << 12) |
    (hexAt(uuid, c) << 8) |
    (hexAt(uuid, d) << 4) |
    hexAt(uuid, e)
  );
}

function valuesOf(alphabet: string): Int8Array {
  const values = new Int8Array(128).fill(-1);
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i;
  return values;
}
