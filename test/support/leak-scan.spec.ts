import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LeakScan, type Kind } from './leak-scan.js';

const secret = `whsec_${randomBytes(32).toString('base64')}`;
const key = `ph_live_${'0'.repeat(26)}_${randomBytes(32).toString('base64url')}abc123`;
const pem = `-----BEGIN PRIVATE KEY-----\n${randomBytes(48).toString('base64')}\n-----END PRIVATE KEY-----\n`;
const header = 'Bearer "a b"/c+d';
const bytes = Buffer.from(secret.slice('whsec_'.length), 'base64');

const scan = new LeakScan();
for (const [kind, text] of [
  ['signing secret', secret],
  ['api key', key],
  ['credential', pem],
  ['header value', header],
  ['payload', 'the payload of a test'],
] as [Kind, string][])
  scan.remember(kind, text);

describe('a scan finds', () => {
  it.each<[string, Kind, string]>([
    ['a secret', 'signing secret', secret],
    ['a secret without its prefix', 'signing secret', bytes.toString('base64')],
    ['the bytes of a secret', 'signing secret', bytes.toString('base64url')],
    ['the bytes of a secret in hexadecimal', 'signing secret', bytes.toString('hex')],
    ['a key', 'api key', key],
    ['what of a key is secret', 'api key', key.slice(-49)],
    ['a line of a PEM', 'credential', pem.split('\n')[1]],
    ['a header value in JSON', 'header value', JSON.stringify(header)],
    ['a header value in a URL', 'header value', encodeURIComponent(header)],
    ['a header value in a bytea', 'header value', `\\x${Buffer.from(header).toString('hex')}`],
    ['a header value in base64', 'header value', Buffer.from(`user:${header}!`).toString('base64')],
    ['a payload', 'payload', 'the payload of a test'],
  ])('%s', (_, kind, text) => {
    const line = `${'é'.repeat(10_000)} ${text}, `;
    expect(scan.find('a log', line)).toEqual([
      { kind, where: 'a log', around: expect.stringContaining('[…]') as string },
    ]);
    expect(scan.find('a log', line, [kind])).toEqual([]);
    // Not even the report of a leak repeats it.
    expect(scan.find('a log', line)[0].around).not.toContain(text);
  });
});

it('finds nothing in what is no secret: ids, other secrets, parts of secrets', () => {
  const other = `whsec_${randomBytes(32).toString('base64')}`;
  for (const text of ['', 'ph_', key.slice(0, 34), other, secret.slice(0, 20), pem.split('\n')[0]])
    expect(scan.find('a log', text), text).toEqual([]);
});

it('does not remember what stands everywhere by chance', () => {
  const before = scan.size;
  scan.remember('header value', 'acme');
  scan.remember('payload', 'paid');
  expect(scan.size).toBe(before);
});
