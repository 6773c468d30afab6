import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import fc from 'fast-check';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { describe, expect, it } from 'vitest';
import { generateSecret, InvalidSecretError, parseSecret, sign, verify } from './index.js';

const vectors = JSON.parse(readFileSync(resolve('../shared/data/signature-vectors.json'), 'utf8')) as {
  name: string;
  secret: string;
  id: string;
  timestamp: number;
  body: string;
  signature: string;
}[];
const vector = vectors.find((each) => each.name === 'spec-hmac')!;
const at = new Date(vector.timestamp * 1000);
const headersOf = (signature: string) => ({
  'webhook-id': vector.id,
  'webhook-timestamp': String(vector.timestamp),
  'webhook-signature': signature,
});
const good = vector.signature;
const check = (headers: Record<string, string | string[] | undefined>, secrets = [vector.secret], now = at) =>
  verify(headers, vector.body, secrets, { now });

let seed = 0;
const random = {
  bytes: (n: number) => Uint8Array.from({ length: n }, () => (seed = (seed * 75 + 74) % 65537) & 255),
};

describe('the published vector', () => {
  it('is what we sign', () => {
    expect(sign({ ...vector, secrets: [vector.secret] })).toBe(good);
    expect(sign({ ...vector, body: Buffer.from(vector.body), secrets: [vector.secret] })).toBe(good);
  });

  it('is what we accept', () => {
    expect(check(headersOf(good))).toEqual({ ok: true, id: vector.id, timestamp: vector.timestamp });
  });
});

describe('verify refuses', () => {
  const partial = good.slice(0, 8);
  const other = sign({ ...vector, secrets: [generateSecret(random)] });

  it.each([
    ['no id', { ...headersOf(good), 'webhook-id': undefined }, 'missing_header'],
    ['no timestamp', { ...headersOf(good), 'webhook-timestamp': undefined }, 'missing_header'],
    ['no signature', { ...headersOf(good), 'webhook-signature': undefined }, 'missing_header'],
    ['an empty signature header', headersOf(''), 'missing_header'],
    ['a timestamp in words', { ...headersOf(good), 'webhook-timestamp': 'hello' }, 'invalid_timestamp'],
    [
      'a timestamp in another spelling',
      { ...headersOf(good), 'webhook-timestamp': '1.614265330e9' },
      'invalid_timestamp',
    ],
    ['half a signature', headersOf(partial), 'no_matching_signature'],
    ['an empty one', headersOf('v1,'), 'no_matching_signature'],
    ['another version', headersOf(good.replace('v1,', 'v2,')), 'no_matching_signature'],
    ['no version', headersOf(good.slice(3)), 'no_matching_signature'],
    ['another secret', headersOf(other), 'no_matching_signature'],
    ['another id', { ...headersOf(good), 'webhook-id': 'msg_other' }, 'no_matching_signature'],
    ['another timestamp', { ...headersOf(good), 'webhook-timestamp': '1614265331' }, 'no_matching_signature'],
    ['more than it cares to compare', headersOf(`${'v1,AAAA '.repeat(40)}${good}`), 'no_matching_signature'],
  ])('%s', (_name, headers, reason) => expect(check(headers)).toEqual({ ok: false, reason }));

  it.each([
    [300, undefined],
    [301, 'timestamp_too_old'],
    [-300, undefined],
    [-301, 'timestamp_too_new'],
  ])('a request %d seconds old: %s', (ageSeconds, reason) => {
    const now = new Date((vector.timestamp + ageSeconds) * 1000);
    const result = check(headersOf(good), [vector.secret], now);
    expect(result.ok ? undefined : result.reason).toBe(reason);
  });

  it('a changed body', () => {
    const result = verify(headersOf(good), vector.body + ' ', [vector.secret], { now: at });
    expect(result).toEqual({ ok: false, reason: 'no_matching_signature' });
  });
});

describe('verify accepts', () => {
  it('one good signature among bad ones', () => {
    const bad = sign({ ...vector, secrets: [generateSecret(random), generateSecret(random)] });
    expect(check(headersOf(`${bad} v2,AAAA ${good}`)).ok).toBe(true);
    expect(check(headersOf(`${good} ${bad}`)).ok).toBe(true);
  });

  it('headers in any case, and as lists', () => {
    const { 'webhook-id': id, 'webhook-timestamp': timestamp } = headersOf(good);
    expect(check({ 'Webhook-Id': id, 'WEBHOOK-TIMESTAMP': timestamp, 'Webhook-Signature': [good] }).ok).toBe(
      true,
    );
  });

  it('either secret while they rotate', () => {
    const [fresh, old] = [generateSecret(random), vector.secret];
    const header = sign({ ...vector, secrets: [fresh, old] });
    expect(header.split(' ')).toHaveLength(2);
    expect(header.endsWith(good)).toBe(true); // newest first
    for (const secrets of [[fresh], [old], [generateSecret(random), old]]) {
      expect(check(headersOf(header), secrets).ok).toBe(true);
    }
  });
});

describe('independent verifiers agree', () => {
  const unit = fc.oneof(
    fc.constantFrom('😀', '\u2028', '\u0000', 'é', '"', '\\', '\n'),
    fc.string({ unit: 'grapheme', maxLength: 1 }),
  );
  const body = fc.oneof(
    fc.array(unit, { maxLength: 200 }).map((parts) => parts.join('')),
    fc.json(),
  );

  const agree = (text: string, secrets: string[]) => {
    const timestamp = Math.floor(Date.now() / 1000); // the oracles read the real clock
    const signature = sign({ id: 'evt_1', timestamp, body: Buffer.from(text), secrets });
    const headers = {
      'webhook-id': 'evt_1',
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signature,
    };
    for (const secret of secrets) {
      for (const Oracle of [StandardWebhook, SvixWebhook]) {
        // Both verify first and parse the JSON after; a body that is not JSON throws a SyntaxError when it verified.
        let parseError: unknown;
        try {
          new Oracle(secret).verify(text, headers);
        } catch (error) {
          parseError = error;
        }
        if (parseError !== undefined) expect(parseError).toBeInstanceOf(SyntaxError);
        expect(new Oracle(secret).sign('evt_1', new Date(timestamp * 1000), text)).toBe(
          sign({ id: 'evt_1', timestamp, body: text, secrets: [secret] }),
        );
      }
      expect(verify(headers, text, [secret], { now: new Date(timestamp * 1000) }).ok).toBe(true);
    }
  };

  it('for random bodies', () => {
    fc.assert(fc.property(body, (text) => agree(text, [generateSecret(random), generateSecret(random)])));
  });

  it.each([
    ['empty', ''],
    ['line separators', '{"a":"\u2028\u2029"}'],
    ['emoji', '{"a":"👩‍👩‍👧‍👦"}'],
    ['1 MB', JSON.stringify('x€'.repeat(350_000))],
  ])('%s', (_name, text) => agree(text, [vector.secret]));
});

describe('secrets', () => {
  it('are 32 random bytes and come back', () => {
    const secret = generateSecret(random);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(parseSecret(secret)).toHaveLength(32);
    expect(generateSecret(random)).not.toBe(secret);
  });

  it.each([23, 24, 64, 65])('of %d bytes', (bytes) => {
    const text = 'whsec_' + Buffer.alloc(bytes, 7).toString('base64');
    if (bytes >= 24 && bytes <= 64) expect(parseSecret(text)).toHaveLength(bytes);
    else expect(() => parseSecret(text)).toThrow(InvalidSecretError);
  });

  it.each([
    ['', 'missing_prefix'],
    ['w', 'missing_prefix'],
    ['whsec_', 'wrong_length'],
    ['whsec_%', 'not_base64'],
    ['whsec_wronglength', 'not_base64'],
    ['hwsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'missing_prefix'],
    ['WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'missing_prefix'],
    ['whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=', 'missing_prefix'],
    ['whsk_6Xb/dCcHpPea21PS1N9VY', 'missing_prefix'],
    [' whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'missing_prefix'],
    ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ', 'not_base64'],
    ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n', 'not_base64'],
    // Base64url and missing padding decode in Node and differ elsewhere.
    ['whsec_' + Buffer.alloc(32, 0xff).toString('base64url'), 'not_base64'],
  ])('%j is refused: %s', (text, problem) => {
    expect(() => parseSecret(text)).toThrow(expect.objectContaining({ problem, code: 'invalid_secret' }));
    expect(() => sign({ ...vector, secrets: [text] })).toThrow(InvalidSecretError);
    // A public key is no secret; it verifies, but not this.
    if (text.startsWith('whpk_')) expect(check(headersOf(good), [text]).ok).toBe(false);
    else expect(() => check(headersOf(good), [text])).toThrow(InvalidSecretError);
  });

  it('are not in the error', () => {
    const secret = 'whsec_c2hvcnQ=';
    expect(() => parseSecret(secret)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('c2hv') as string }),
    );
  });
});

it('refuses to sign what could be read in two ways', () => {
  const input = { ...vector, secrets: [vector.secret] };
  expect(() => sign({ ...input, id: 'a.b' })).toThrow(/Bug/);
  expect(() => sign({ ...input, id: '' })).toThrow(/Bug/);
  expect(() => sign({ ...input, timestamp: 1.5 })).toThrow(/Bug/);
  expect(() => sign({ ...input, secrets: [] })).toThrow(/Bug/);
});
