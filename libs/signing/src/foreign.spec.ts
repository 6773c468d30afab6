// Independent of ours: GitHub's own library verifies, and the algorithm that Stripe publishes, with openssl's HMAC.
import { spawnSync } from 'node:child_process';
import { sign as octokitSign, verify as octokitVerify } from '@octokit/webhooks-methods';
import { describe, expect, it } from 'vitest';
import { signForeign } from './index.js';

const [fresh, old] = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'];
const BODIES = ['{"test": 2432232314}', '', '{"a":"😀\u2028é"}', JSON.stringify('x€'.repeat(50_000))];

describe('github', () => {
  it.each(BODIES)('%# is verified by octokit, with the text of the secret', async (body) => {
    const header = signForeign('github', { timestamp: 1, body: Buffer.from(body), secrets: [fresh, old] });
    expect(header).toMatch(/^sha256=[0-9a-f]{64}$/);
    if (body !== '') {
      expect(await octokitVerify(fresh, body, header)).toBe(true);
      expect(await octokitVerify(old, body, header)).toBe(false);
      expect(await octokitVerify(fresh, `${body} `, header)).toBe(false);
      expect(await octokitSign(fresh, body)).toBe(header);
    }
    expect(header).toBe(`sha256=${opensslHmac(fresh, body)}`);
  });

  it("is the example of GitHub's documentation", () => {
    const header = signForeign('github', {
      timestamp: 1,
      body: 'Hello, World!',
      secrets: ["It's a Secret to Everybody"],
    });
    expect(header).toBe('sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17');
  });
});

describe('stripe', () => {
  it.each(BODIES)('%# has one v1 for each secret, newest first', (body) => {
    const header = signForeign('stripe', { timestamp: 1_700_000_000, body, secrets: [fresh, old] });
    const [t, ...signatures] = header.split(',');
    expect(t).toBe('t=1700000000');
    expect(signatures).toEqual(
      [fresh, old].map((secret) => `v1=${opensslHmac(secret, `1700000000.${body}`)}`),
    );
  });
});

it('refuses to sign without a secret', () => {
  expect(() => signForeign('github', { timestamp: 1, body: '', secrets: [] })).toThrow(/Bug/);
});

function opensslHmac(key: string, content: string): string {
  const { stdout, error } = spawnSync(
    'openssl',
    ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `key:${key}`, '-r'],
    {
      input: content,
      encoding: 'utf8',
    },
  );
  if (error) throw new Error(`These tests need the openssl command: ${error.message}`);
  return stdout.slice(0, 64);
}
