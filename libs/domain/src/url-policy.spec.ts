import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCidrs, PUBLIC_ONLY } from './address-policy.js';
import { parseHostList } from './host-names.js';
import { checkEndpointUrl, type UrlPolicy } from './url-policy.js';

const OPEN: UrlPolicy = { addresses: PUBLIC_ONLY, hosts: [], http: true };
const check = (raw: string) => checkEndpointUrl(raw, OPEN);

describe('checkEndpointUrl', () => {
  it.each([
    ['https://hooks.example.com', 'https://hooks.example.com/'],
    ['https://Hooks.Example.COM:443/a?b=c#frag', 'https://hooks.example.com/a?b=c'],
    ['http://hooks.example.com:8080/a', 'http://hooks.example.com:8080/a'],
    ['HTTPS://hooks.example.com/ä', 'https://hooks.example.com/%C3%A4'],
    ['https://bücher.example.com/', 'https://xn--bcher-kva.example.com/'],
    ['https://hooks.example.com./a', 'https://hooks.example.com/a'],
    ['https://HOOKS.example.com.:8443/', 'https://hooks.example.com:8443/'],
    ['https://foo_bar.example.com/', 'https://foo_bar.example.com/'],
    ['https://localhost.example.com/', 'https://localhost.example.com/'],
    ['https://hooks.example.com/@user', 'https://hooks.example.com/@user'],
    ['https://hooks.example.com/a/../b', 'https://hooks.example.com/b'],
    ['https://8.8.8.8/', 'https://8.8.8.8/'],
  ])('%s is stored as %s', (raw, url) => expect(check(raw)).toEqual({ ok: true, url }));

  it.each([
    ['', 'url_scheme'],
    ['ftp://hooks.example.com', 'url_scheme'],
    ['javascript:alert(1)', 'url_scheme'],
    ['//hooks.example.com', 'url_scheme'],
    ['hooks.example.com', 'url_scheme'],
    ['https:hooks.example.com', 'url_malformed'],
    ['https:/hooks.example.com', 'url_malformed'],
    ['https:///hooks.example.com', 'url_malformed'],
    ['https:\\\\hooks.example.com', 'url_malformed'],
    ['https://hooks.example.com\\@evil.test', 'url_malformed'],
    ['https://', 'url_malformed'],
    [' https://hooks.example.com', 'url_malformed'],
    ['https://hooks.example.com\n', 'url_malformed'],
    ['https://hooks.exa\tmple.com', 'url_malformed'],
    ['https://hooks.example.com/a b', 'url_malformed'],
    ['https://hooks.example.com/\u0000', 'url_malformed'],
    ['https://hooks.example.com/\u2028', 'url_malformed'],
    ['https://256.256.256.256/', 'url_malformed'],
    ['https://hooks.example.com:99999/', 'url_malformed'],
    ['https://user@hooks.example.com', 'url_userinfo'],
    ['https://user:pw@hooks.example.com', 'url_userinfo'],
    ['https://@hooks.example.com', 'url_userinfo'],
    ['https://:@hooks.example.com', 'url_userinfo'],
    ['https://hooks.example.com:0/', 'url_port'],
    ['https://hooks.example.com:00/', 'url_port'],
    ['https://hooks.example.com:22/', 'url_port'],
    ['https://hooks.example.com:5432/', 'url_port'],
    ['https://hooks.example.com../', 'url_host'],
    ['https://hooks..example.com/', 'url_host'],
    ['https://*.example.com/', 'url_host'],
    ['https://1.2.3.4../', 'url_host'],
    ['https://' + 'a'.repeat(64) + '.example.com/', 'url_host'],
    ['https://' + 'a.'.repeat(126) + 'com/', 'url_host'],
    ...'intranet localhost LOCALHOST localhost. app.localhost a.local a.svc.cluster.local a.svc a.internal'
      .split(' ')
      .map(urlHost),
    ...'router.home.arpa a.onion a.test a.invalid a.example a.lan a.corp 1.0.0.127.in-addr.arpa'
      .split(' ')
      .map(urlHost),
    ['http://127.0.0.1/', 'url_blocked_address'],
    ['http://2130706433/', 'url_blocked_address'],
    ['http://0x7f.1/', 'url_blocked_address'],
    ['http://[::1]/', 'url_blocked_address'],
    ['http://[::ffff:10.0.0.1]/', 'url_blocked_address'],
    ['https://hooks.example.com/' + 'a'.repeat(2048), 'url_too_long'],
    // Under the limit as typed, three times as long as sent.
    ['https://hooks.example.com/' + 'é'.repeat(1000), 'url_too_long'],
  ])('%j is refused as %s', (raw, code) => expect(check(raw)).toMatchObject({ ok: false, code }));

  describe('as an operator has it', () => {
    const strict: UrlPolicy = { ...OPEN, http: false };
    const opened: UrlPolicy = {
      addresses: { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.0/8'), ownPorts: new Set([3400]) },
      hosts: parseHostList('legacy, *.Internal'),
      http: false,
    };

    it.each([
      ['http://hooks.example.com/', strict, 'url_scheme'],
      ['http://8.8.8.8/', strict, 'url_scheme'],
      ['http://hooks.example.com/', opened, 'url_scheme'],
      ['http://127.0.0.1:9000/', opened, undefined],
      ['http://127.0.0.1:3400/', opened, 'url_port'],
      ['http://localhost:3400/', opened, 'url_port'],
      ['http://localhost:9000/', opened, undefined],
      ['http://app.localhost:9000/', opened, undefined],
      ['http://[::1]:9000/', opened, 'url_blocked_address'],
      ['http://legacy/', opened, undefined],
      ['http://legacy:5432/', opened, 'url_port'],
      ['http://legacy.corp/', opened, 'url_host'],
      ['https://a.b.internal/', opened, undefined],
      ['https://internal/', opened, 'url_host'],
      ['https://notinternal/', opened, 'url_host'],
      ['https://localhost/', { ...opened, addresses: PUBLIC_ONLY }, 'url_host'],
      // A name that is opened is not a network that is.
      ['https://localhost/', { ...strict, hosts: ['localhost'] }, 'url_blocked_address'],
    ] as const)('%s (%#)', (url, policy, code) => {
      const judged = checkEndpointUrl(url, policy);
      expect(judged.ok ? undefined : judged.code).toBe(code);
    });

    it.each(['*', '*.', 'a..b', '10.0.0.1', '*.0.0.127', 'a/b', 'http://a'])(
      '%s is not a host to open',
      (text) => expect(() => parseHostList(text)).toThrow(`"${text}"`),
    );
  });

  it('is a fixed point: what it stores it accepts unchanged', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.webUrl({ withFragments: true, withQueryParameters: true }), fc.string()),
        (raw) => {
          const first = check(raw);
          if (first.ok) expect(check(first.url)).toEqual(first);
        },
      ),
      { numRuns: 500 },
    );
  });
});

function urlHost(host: string): [string, string] {
  return [`https://${host}/`, 'url_host'];
}
