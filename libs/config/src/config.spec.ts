import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  ConfigError,
  configWarnings,
  describeConfig,
  egressProxyOf,
  loadConfig,
  urlPolicyOf,
} from './index.js';

describe('loadConfig', () => {
  it('gives every default when nothing is set, and is frozen', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({
      PORT: 3400,
      DATABASE_URL: null,
      RETENTION_DAYS: 30,
      WORKER_CONCURRENCY: 256,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('names every wrong variable and what would be right, but no secret', () => {
    const wrong = { PORT: '-1', LOG_LEVEL: 'loud', POSTHORN_ADMIN_KEY: 'hunter2', RETENTION_DAYS: '0' };
    expect(() => loadConfig(wrong)).toThrow(ConfigError);
    expect(() => loadConfig(wrong)).toThrow(
      /PORT must be.*POSTHORN_ADMIN_KEY must have at least 32.*RETENTION_DAYS.*LOG_LEVEL/,
    );
    expect(() => loadConfig(wrong)).not.toThrow(/hunter2/);
  });

  it('reads an empty variable as unset, as compose files write it', () => {
    expect(loadConfig({ DATABASE_URL: '', PORT: ' ' }).PORT).toBe(3400);
  });

  it('names what is wrong with the keys of secrets at rest, and repeats none of them', () => {
    const keks = 'k1:c2hvcnQ=,k2:nothing';
    expect(() => loadConfig({ POSTHORN_KEKS: keks })).toThrow(
      /POSTHORN_KEKS is wrong: key 1 must be 32 bytes/,
    );
    expect(() => loadConfig({ POSTHORN_KEKS: keks })).not.toThrow(/c2hv|nothing/);
  });

  it('describes secrets by whether they are set', () => {
    const config = loadConfig({ DATABASE_URL: 'postgres://u:p@h/d' });
    expect(describeConfig(config)).toMatchObject({
      DATABASE_URL: true,
      POSTHORN_ADMIN_KEY: false,
      PORT: 3400,
    });
  });

  it.each([
    ['x'.repeat(40), /POSTHORN_ADMIN_KEY repeats itself/],
    ['abcdefgh'.repeat(5), /POSTHORN_ADMIN_KEY repeats itself/],
    ['please-change-me-0123456789abcdefghijk', /POSTHORN_ADMIN_KEY reads like an example/],
    ['ph_example_0f9e8d7c6b5a4f3e2d1c0b9a8f7e', /POSTHORN_ADMIN_KEY reads like an example/],
  ])('refuses a secret that is none: %s', (POSTHORN_ADMIN_KEY, said) => {
    expect(() => loadConfig({ POSTHORN_ADMIN_KEY })).toThrow(said);
    expect(() => loadConfig({ POSTHORN_ADMIN_KEY })).not.toThrow(new RegExp(POSTHORN_ADMIN_KEY));
  });

  it('takes every random secret', () => {
    for (let n = 0; n < 2000; n++)
      for (const encoding of ['hex', 'base64', 'base64url'] as const)
        loadConfig({ POSTHORN_ADMIN_KEY: randomBytes(24).toString(encoding) });
  });

  it('refuses one value for two secrets', () => {
    const value = randomBytes(24).toString('hex');
    expect(() => loadConfig({ POSTHORN_ADMIN_KEY: value, POSTHORN_METRICS_KEY: value })).toThrow(
      /POSTHORN_ADMIN_KEY must not be the same as POSTHORN_METRICS_KEY|POSTHORN_METRICS_KEY must not be the same/,
    );
  });

  it('refuses to run with certificates unchecked', () => {
    expect(() => loadConfig({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toThrow(
      /NODE_TLS_REJECT_UNAUTHORIZED must not be 0.*NODE_EXTRA_CA_CERTS/,
    );
    loadConfig({ NODE_TLS_REJECT_UNAUTHORIZED: '1' });
  });

  it.each([
    '*',
    'null',
    'portal.example.com',
    'http://portal.example.com',
    'https://a.example/',
    'https://A.example',
  ])('refuses %s as an origin', (origin) => {
    expect(() => loadConfig({ POSTHORN_CORS_ORIGINS: `https://ok.example,${origin}` })).toThrow(
      /POSTHORN_CORS_ORIGINS is wrong: an origin is like/,
    );
  });

  it('warns of what may be meant', () => {
    const warnings = (env: NodeJS.ProcessEnv, execArgv: string[] = []) =>
      configWarnings(loadConfig(env), env, execArgv);
    expect(
      warnings({ DATABASE_URL: 'postgres://u@127.0.0.1/d', POSTHORN_CORS_ORIGINS: 'http://localhost:5173' }),
    ).toEqual([]);
    expect(warnings({ HOST: '0.0.0.0' })).toEqual([expect.stringMatching(/HOST is 0.0.0.0.*TLS proxy/)]);
    expect(warnings({ DATABASE_URL: 'postgres://u@db.internal/d' })).toEqual([
      expect.stringMatching(/no password/),
    ]);
    expect(warnings({ DATABASE_URL: 'postgres://u:p@db.internal/d' })).toEqual([]);
    expect(warnings({ NODE_OPTIONS: '--max-old-space-size=99 --inspect=0.0.0.0' })).toHaveLength(1);
    expect(warnings({}, ['--inspect-brk'])).toHaveLength(1);
    expect(warnings({ POSTHORN_ALLOW_CIDRS: '10.0.0.0/8, 169.254.0.0/16' })).toHaveLength(2);
    expect(
      warnings({
        POSTHORN_ALLOW_CIDRS: '169.254.0.0/16',
        POSTHORN_DENY_CIDRS: '169.254.169.254, 169.254.170.2',
      }),
    ).toEqual([]);
    expect(warnings({ HTTPS_PROXY: 'http://proxy:3128' })).toEqual([expect.stringMatching(/not followed/)]);
  });
});

describe('what may be dialled', () => {
  it('is by default public, https, and nothing else', () => {
    expect(urlPolicyOf(loadConfig({}))).toEqual({
      addresses: { allow: [], deny: [], nat64: [], ownPorts: expect.any(Set) as Set<number> },
      hosts: [],
      http: false,
    });
    expect(
      egressProxyOf(loadConfig({ HTTPS_PROXY: 'http://10.0.0.1:3128', HTTP_PROXY: 'http://10.0.0.1:3128' })),
    ).toBeNull();
  });

  it('knows the ports of our own and of the database', () => {
    const own = (env: NodeJS.ProcessEnv) => urlPolicyOf(loadConfig(env)).addresses.ownPorts;
    expect(own({ PORT: '8000', WORKER_PORT: '0', DATABASE_URL: 'postgres://u:p@db:6000/d' })).toContain(8000);
    expect(own({ DATABASE_URL: 'postgres://u:p@db:6000/d' })).toContain(6000);
    expect(own({ DATABASE_URL: 'postgres://u:p@db/d' })).toContain(5432);
    expect(own({ PORT: '0', WORKER_PORT: '0' })).not.toContain(0);
  });

  it.each([
    ['POSTHORN_ALLOW_CIDRS', '10.0.0.1/8'],
    ['POSTHORN_DENY_CIDRS', 'nonsense'],
    ['POSTHORN_ALLOW_HOSTS', '*'],
    ['POSTHORN_NAT64_PREFIX', '64:ff9b::/64'],
    ['POSTHORN_EGRESS_PROXY', 'socks5://u:swordfish@10.0.0.1:1080'],
    ['POSTHORN_EGRESS_PROXY', 'http://u:swordfish@10.0.0.1:3128/path'],
    ['POSTHORN_EGRESS_PROXY', 'u:swordfish@10.0.0.1:3128'],
  ])('%s=%s is refused at start, without its password', (name, value) => {
    expect(() => loadConfig({ [name]: value })).toThrow(new RegExp(`${name} is wrong`));
    expect(() => loadConfig({ [name]: value })).not.toThrow(/swordfish/);
  });

  it('a proxy has its password beside its address, and the start-up line has neither', () => {
    const config = loadConfig({ POSTHORN_EGRESS_PROXY: 'http://posthorn:sword%40fish@proxy.internal:3128' });
    expect(egressProxyOf(config)).toEqual({
      hostname: 'proxy.internal',
      port: 3128,
      authorization: `Basic ${Buffer.from('posthorn:sword@fish').toString('base64')}`,
    });
    expect(describeConfig(config).POSTHORN_EGRESS_PROXY).toBe(true);
  });
});
