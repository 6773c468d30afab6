import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressVerdict,
  dialProblem,
  parseCidrs,
  parseNat64Prefix,
  PUBLIC_ONLY,
  REFUSED_PORTS,
} from './address-policy.js';
import { checkEndpointUrl, literalAddressOf } from './url-policy.js';

// Undici's own copy of the list in the Fetch standard.
const { badPorts: undiciBadPorts } = createRequire(import.meta.url)(
  '../../../node_modules/undici/lib/web/fetch/constants.js',
) as { badPorts: string[] };

interface SsrfCase {
  url: string;
  allowed: boolean;
  why: string;
  category: string;
  whatwgHost: string | null;
  dns?: { A?: string[]; AAAA?: string[] };
}
const cases = JSON.parse(readFileSync(resolve('../shared/data/ssrf-cases.json'), 'utf8')) as SsrfCase[];

// What the URL says beside its address is judged elsewhere, and in part later: ports, schemes, names.
const literals = cases.filter(
  (each) => !['port', 'port-policy', 'scheme'].includes(each.category) && hostOf(each) !== undefined,
);
function hostOf({ url, whatwgHost }: SsrfCase): string | undefined {
  return URL.canParse(url) && whatwgHost ? literalAddressOf(whatwgHost) : undefined;
}

describe('addressVerdict', () => {
  it('has the cases it is meant to have', () => expect(literals.length).toBeGreaterThan(150));

  // A row may be refused for its user info or spelling while its address is public: the next block judges whole URLs.
  const byAddress = literals.filter((each) => !['userinfo', 'parser', 'policy'].includes(each.category));
  it.each(byAddress.map((each) => [each.url, each.allowed, each.why, each] as const))(
    '%s %s (%s)',
    (_u, ok, _w, each) => {
      expect(addressVerdict(hostOf(each)!, PUBLIC_ONLY)).toBe(ok ? 'public' : 'forbidden');
    },
  );

  it.each(literals.map((each) => [each.url, each.allowed, each.why] as const))(
    'as a URL: %s %s (%s)',
    (url, ok) => {
      expect(checkEndpointUrl(url, { addresses: PUBLIC_ONLY, hosts: [], http: true }).ok).toBe(ok);
    },
  );

  it('refuses what a DNS row would lead to', () => {
    const rows = cases.filter((each) => each.category === 'dns');
    expect(rows.length).toBeGreaterThan(5);
    for (const { dns, allowed, url } of rows) {
      const answers = [...(dns?.A ?? []), ...(dns?.AAAA ?? [])];
      const fine = answers.length > 0 && answers.every((ip) => addressVerdict(ip, PUBLIC_ONLY) === 'public');
      expect([url, fine]).toEqual([url, allowed]);
    }
  });

  it.each([
    ...'0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12'.split(' '),
    ...'192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24'.split(' '),
    ...'203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 192.31.196.0/24 192.52.193.0/24 192.175.48.0/24'.split(' '),
  ])('%s is forbidden from its first address to its last, its neighbours by their own network', (cidr) => {
    const [base, bits] = cidr.split('/') as [string, string];
    const first = base.split('.').reduce((n, part) => n * 256 + Number(part), 0);
    const last = first + 2 ** (32 - Number(bits)) - 1;
    expect(addressVerdict(v4(first), PUBLIC_ONLY)).toBe('forbidden');
    expect(addressVerdict(v4(last), PUBLIC_ONLY)).toBe('forbidden');
  });

  it.each(['9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.255.255', '172.32.0.0'])(
    '%s next door is public',
    (ip) => expect(addressVerdict(ip, PUBLIC_ONLY)).toBe('public'),
  );

  it.each([
    '',
    'localhost',
    '127.1',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '2130706433',
    '1.2.3.4.',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3',
    ...'01.2.3.4 256.1.1.1 1.2.3.4.5 ٣.1.1.1 [2001:4860::1] 2001:4860::1%eth0 fe80::1%1 ::ffff:8.8.8.8'.split(
      ' ',
    ),
    ...': ::: 1::2::3 12345::1 2001:db8::1 2002::1 2620:4f:8000::1 3fff::1 2001:1ff::1 4000::1 1fff::1'.split(
      ' ',
    ),
  ])('%j is forbidden', (ip) => expect(addressVerdict(ip, PUBLIC_ONLY)).toBe('forbidden'));

  it.each(['2001:200::1', '2606:4700:4700::1111', '2a00:1450::8', '3ffe::1', '2620:4f:8001::1'])(
    '%s is public',
    (ip) => expect(addressVerdict(ip, PUBLIC_ONLY)).toBe('public'),
  );

  it('lets nothing of IPv6 through outside 2000::/3', () => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, (parts) => {
        const ip = parts.map((part) => part.toString(16)).join(':');
        if (parts[0] < 0x2000 || parts[0] > 0x3fff) expect(addressVerdict(ip, PUBLIC_ONLY)).toBe('forbidden');
      }),
      { numRuns: 1000 },
    );
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void addressVerdict(text, PUBLIC_ONLY)));
  });
});

describe('the allow list', () => {
  const allowing = (networks: string) => ({ ...PUBLIC_ONLY, allow: parseCidrs(networks) });
  const loopback = allowing('127.0.0.0/8, fd00::/8');

  it.each([
    ['127.0.0.1', 'allowed'],
    ['127.255.255.255', 'allowed'],
    ['128.0.0.1', 'public'],
    ['10.0.0.1', 'forbidden'],
    ['fd12::1', 'allowed'],
    ['fc12::1', 'forbidden'],
    ['::1', 'forbidden'],
    // Naming IPv4 loopback does not name its IPv6 disguise.
    ['::ffff:127.0.0.1', 'forbidden'],
    ['::ffff:7f00:1', 'forbidden'],
  ])('%s is %s', (ip, expected) => expect(addressVerdict(ip, loopback)).toBe(expected));

  it('names a mapped address in its own form only', () => {
    expect(addressVerdict('::ffff:7f00:1', allowing('::ffff:127.0.0.0/104'))).toBe('allowed');
    expect(addressVerdict('::ffff:a00:1', allowing('::ffff:127.0.0.0/104'))).toBe('forbidden');
  });

  it.each(['', ' ', ',', '\n'])('%j is empty', (text) => expect(parseCidrs(text)).toEqual([]));

  it.each(['0.0.0.0/0', '::/0', '127.0.0.1', '::1', '10.0.0.0/8 127.0.0.0/8'])('%s is understood', (text) => {
    expect(parseCidrs(text).length).toBeGreaterThan(0);
  });

  it.each([
    'nonsense',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '::/129',
    '10.0/8',
    'fe80::1%eth0/64',
    '/8',
  ])('%s is refused, by name', (text) => expect(() => parseCidrs(text)).toThrow(`"${text}"`));

  it('says what was probably meant', () => {
    expect(() => parseCidrs('10.0.0.1/8')).toThrow('write 10.0.0.0/8');
  });
});

describe('the deny list', () => {
  const policy = {
    ...PUBLIC_ONLY,
    allow: parseCidrs('10.0.0.0/8 ::/0'),
    deny: parseCidrs('10.0.0.5 93.184.216.0/24'),
  };

  it.each([
    ['10.0.0.4', 'allowed'],
    ['10.0.0.5', 'forbidden'],
    ['::ffff:10.0.0.4', 'allowed'],
    ['::ffff:10.0.0.5', 'forbidden'],
    ['93.184.216.34', 'forbidden'],
    ['93.184.217.34', 'public'],
  ])('wins over the allow list and over what is public: %s is %s', (ip, expected) =>
    expect(addressVerdict(ip, policy)).toBe(expected),
  );
});

describe('behind NAT64', () => {
  const policy = {
    ...PUBLIC_ONLY,
    nat64: parseNat64Prefix('64:ff9b::/96'),
    allow: parseCidrs('10.1.0.0/16'),
    deny: parseCidrs('9.9.9.9'),
  };

  it.each([
    ['64:ff9b::808:808', 'public'],
    ['64:ff9b::a9fe:a9fe', 'forbidden'],
    ['64:ff9b::a00:1', 'forbidden'],
    ['64:ff9b::a01:1', 'allowed'],
    ['64:ff9b::909:909', 'forbidden'],
    ['64:ff9b:1::808:808', 'forbidden'],
    ['64:ff9b::1:0:0', 'forbidden'],
  ])('%s is judged by what it embeds: %s', (ip, expected) =>
    expect(addressVerdict(ip, policy)).toBe(expected),
  );

  it.each(['64:ff9b::/64', '10.0.0.0/8', '64:ff9b::/96 64:ff9c::/96'])('%s is no prefix', (text) =>
    expect(() => parseNat64Prefix(text)).toThrow('NAT64'),
  );
});

describe('ports', () => {
  const policy = { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.0/8'), ownPorts: new Set([3400, 40_001]) };

  it.each([
    ['8.8.8.8', 443, null],
    ['8.8.8.8', 5432, 'blocked_port'],
    ['127.0.0.1', 5432, 'blocked_port'],
    ['10.0.0.1', 5432, 'blocked_address'],
    // Ours, at what an operator opened; a public address is not ours to say.
    ['127.0.0.1', 3400, 'blocked_port'],
    ['127.0.0.9', 40_001, 'blocked_port'],
    ['127.0.0.1', 3402, null],
    ['8.8.8.8', 3400, null],
  ])('%s:%i: %s', (ip, port, expected) => expect(dialProblem(ip, port, policy)).toBe(expected));

  it('holds what browsers hold, and none that a system gives to whoever asks for any', () => {
    for (const port of undiciBadPorts) expect(REFUSED_PORTS).toContain(Number(port));
    expect(Math.max(...REFUSED_PORTS)).toBeLessThan(32_768);
  });
});

function v4(n: number): string {
  return [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join('.');
}
