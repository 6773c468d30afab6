// Independent of ours and of Node's crypto: the openssl command verifies what we sign, and signs what we verify.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  generatePrivateKey,
  generateSecret,
  InvalidSecretError,
  keyIdsOf,
  publicJwk,
  publicKeyOf,
  sign,
  verify,
} from './index.js';

const vectors = JSON.parse(readFileSync(resolve('../shared/data/signature-vectors.json'), 'utf8')) as {
  name: string;
  secret: string;
  publicKey: string;
  id: string;
  timestamp: number;
  body: string;
  signature: string;
}[];
const vector = vectors.find((each) => each.name === 'ed25519')!;
const at = new Date(vector.timestamp * 1000);
const headersOf = (signature: string) => ({
  'webhook-id': vector.id,
  'webhook-timestamp': String(vector.timestamp),
  'webhook-signature': signature,
});
const check = (signature: string, keys: string[], body = vector.body) =>
  verify(headersOf(signature), body, keys, { now: at });

let seed = 7;
const random = {
  bytes: (n: number) => Uint8Array.from({ length: n }, () => (seed = (seed * 75 + 74) % 65537) & 255),
};

const folder = mkdtempSync(join(tmpdir(), 'posthorn-ed25519-'));
const file = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

function openssl(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (error) throw new Error(`These tests need the openssl command (3.0 or later): ${error.message}`);
  return { status, output: stdout + stderr };
}

beforeAll(() => {
  const version = openssl('version').output;
  if (!/^OpenSSL (?:[3-9]|\d\d)\./.test(version))
    throw new Error(`These tests need openssl 3.0 or later, not ${version}`);
});

/** The public key as openssl reads it, written by hand from RFC 8410. */
function publicPem(publicKey: string): string {
  const der = Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(publicKey.slice('whpk_'.length), 'base64'),
  ]);
  return `-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`;
}

function opensslAccepts(publicKey: string, content: Buffer, signature: Buffer): boolean {
  writeFileSync(file('public.pem'), publicPem(publicKey));
  writeFileSync(file('content'), content);
  writeFileSync(file('signature'), signature);
  const answer = openssl(
    ...'pkeyutl -verify -pubin -rawin -inkey'.split(' '),
    file('public.pem'),
    ...['-in', file('content'), '-sigfile', file('signature')],
  );
  return answer.status === 0 && answer.output.includes('Verified Successfully');
}

describe('the published vector', () => {
  it('is what we sign, with its public key', () => {
    expect(sign({ ...vector, secrets: [vector.secret] })).toBe(vector.signature);
    expect(sign({ ...vector, body: Buffer.from(vector.body), secrets: [vector.secret] })).toBe(
      vector.signature,
    );
    expect(publicKeyOf(vector.secret)).toBe(vector.publicKey);
  });

  it('is what we accept', () => {
    expect(check(vector.signature, [vector.publicKey]).ok).toBe(true);
  });
});

describe('openssl', () => {
  it('verifies what we sign, and nothing that was changed', () => {
    const body = fc.oneof(fc.json(), fc.string({ unit: 'grapheme', maxLength: 300 }));
    fc.assert(
      fc.property(body, (text) => {
        const privateKey = generatePrivateKey(random);
        const header = sign({ id: 'evt_1', timestamp: 1_700_000_000, body: text, secrets: [privateKey] });
        const signature = Buffer.from(header.replace('v1a,', ''), 'base64');
        const content = Buffer.from(`evt_1.1700000000.${text}`);
        expect(opensslAccepts(publicKeyOf(privateKey), content, signature)).toBe(true);
        signature[5] ^= 1;
        expect(opensslAccepts(publicKeyOf(privateKey), content, signature)).toBe(false);
      }),
      { numRuns: 5 },
    );
  });

  it('signs what we verify', () => {
    openssl('genpkey', '-algorithm', 'ed25519', '-out', file('private.pem'));
    openssl('pkey', '-in', file('private.pem'), '-pubout', '-outform', 'DER', '-out', file('public.der'));
    const publicKey = `whpk_${readFileSync(file('public.der')).subarray(-32).toString('base64')}`;
    writeFileSync(file('content'), `${vector.id}.${vector.timestamp}.${vector.body}`);
    openssl(
      ...'pkeyutl -sign -rawin -inkey'.split(' '),
      file('private.pem'),
      ...['-in', file('content'), '-out', file('signature')],
    );
    const header = `v1a,${readFileSync(file('signature')).toString('base64')}`;
    expect(check(header, [publicKey]).ok).toBe(true);
    expect(check(header, [vector.publicKey])).toEqual({ ok: false, reason: 'no_matching_signature' });
  });
});

describe('verify refuses', () => {
  const good = vector.signature;
  it.each([
    ['half a signature', good.slice(0, 20)],
    ['an empty one', 'v1a,'],
    ['the signature as v1', good.replace('v1a,', 'v1,')],
    ['another version', good.replace('v1a,', 'v2a,')],
    ['no version', good.slice(4)],
    ['one of another key', sign({ ...vector, secrets: [generatePrivateKey(random)] })],
    [
      'one byte too many',
      `v1a,${Buffer.concat([Buffer.from(good.slice(4), 'base64'), Buffer.of(0)]).toString('base64')}`,
    ],
  ])('%s', (_name, signature) =>
    expect(check(signature, [vector.publicKey])).toEqual({ ok: false, reason: 'no_matching_signature' }),
  );

  it('a changed body', () => expect(check(good, [vector.publicKey], `${vector.body} `).ok).toBe(false));

  it('a signature of the HMAC kind whose secret is the public key', () => {
    // Whoever mixes the two up would take what everybody knows for a secret.
    const bytes = Buffer.from(vector.publicKey.slice(5), 'base64');
    const forged = sign({ ...vector, secrets: [`whsec_${bytes.toString('base64')}`] });
    expect(check(forged, [vector.publicKey]).ok).toBe(false);
    expect(check(forged.replace('v1,', 'v1a,'), [vector.publicKey]).ok).toBe(false);
  });
});

describe('both kinds in one header', () => {
  const [fresh, old] = [generatePrivateKey(random), vector.secret];
  const secret = generateSecret(random);
  const header = sign({ ...vector, secrets: [fresh, old, secret] });

  it('stand in the order of the secrets, and each verifies alone', () => {
    expect(header.split(' ').map((each) => each.split(',')[0])).toEqual(['v1a', 'v1a', 'v1']);
    for (const key of [publicKeyOf(fresh), vector.publicKey, secret])
      expect(check(header, [key]).ok).toBe(true);
  });

  it('name their keys', () => {
    expect(keyIdsOf([fresh, old, secret])).toEqual([
      publicJwk(publicKeyOf(fresh)).kid,
      publicJwk(vector.publicKey).kid,
    ]);
  });
});

describe('keys', () => {
  it('are random, come back, and have one spelling', () => {
    const key = generatePrivateKey(random);
    expect(key).toMatch(/^whsk_[A-Za-z0-9+/]{86}==$/);
    expect(publicKeyOf(key)).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/);
    expect(generatePrivateKey(random)).not.toBe(key);
  });

  it('as JWK: the example of RFC 8037, appendix A.3, with its thumbprint', () => {
    const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
    const jwk = publicJwk(`whpk_${Buffer.from(x, 'base64url').toString('base64')}`);
    expect(jwk).toEqual({
      ...{ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig', x },
      kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
    });
  });

  const halves = Buffer.from(vector.secret.slice(5), 'base64');
  it.each([
    ['', 'missing_prefix'],
    [vector.publicKey, 'missing_prefix'],
    [vector.secret.toUpperCase(), 'missing_prefix'],
    ['whsk_', 'wrong_length'],
    [`whsk_${halves.subarray(0, 32).toString('base64')}`, 'wrong_length'],
    [vector.secret.slice(0, -4), 'wrong_length'],
    [vector.secret.slice(0, -1), 'not_base64'],
    [`${vector.secret}\n`, 'not_base64'],
    [`whsk_${halves.toString('base64url')}`, 'not_base64'],
    [
      `whsk_${Buffer.concat([halves.subarray(0, 63), Buffer.of(halves[63] ^ 1)]).toString('base64')}`,
      'halves_differ',
    ],
  ])('%# is no private key: %s', (text, problem) => {
    const refusal = expect.objectContaining({ problem, code: 'invalid_secret' }) as unknown;
    expect(() => publicKeyOf(text)).toThrow(refusal);
    expect(() => sign({ ...vector, secrets: [text] })).toThrow(InvalidSecretError);
  });

  it.each([`whpk_${halves.toString('base64')}`, 'whpk_', `${vector.publicKey} `])(
    '%j is no public key',
    (text) => expect(() => check(vector.signature, [text])).toThrow(InvalidSecretError),
  );

  it('are not in the error', () => {
    expect(() => publicKeyOf(vector.secret.slice(0, -4))).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('6Xb') as string }),
    );
  });
});
