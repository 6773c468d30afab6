import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_CIDRS, parseCidrs } from './address-policy.js';
import { checkEndpointUrl } from './url-policy.js';

const check = (raw: string) => checkEndpointUrl(raw, NO_CIDRS);

describe('checkEndpointUrl', () => {
  it.each([
    ['https://hooks.example.com', 'https://hooks.example.com/'],
    ['https://Hooks.Example.COM:443/a?b=c#frag', 'https://hooks.example.com/a?b=c'],
    ['http://hooks.example.com:8080/a', 'http://hooks.example.com:8080/a'],
    ['HTTPS://hooks.example.com/ä', 'https://hooks.example.com/%C3%A4'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
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
    ['http://127.0.0.1/', 'url_blocked_address'],
    ['http://2130706433/', 'url_blocked_address'],
    ['http://0x7f.1/', 'url_blocked_address'],
    ['http://[::1]/', 'url_blocked_address'],
    ['http://[::ffff:10.0.0.1]/', 'url_blocked_address'],
    ['https://hooks.example.com/' + 'a'.repeat(2048), 'url_too_long'],
    // Under the limit as typed, three times as long as sent.
    ['https://hooks.example.com/' + 'é'.repeat(1000), 'url_too_long'],
  ])('%j is refused as %s', (raw, code) => expect(check(raw)).toMatchObject({ ok: false, code }));

  it('lets through what the operator opened', () => {
    expect(checkEndpointUrl('http://127.0.0.1:9000/', parseCidrs('127.0.0.0/8')).ok).toBe(true);
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
