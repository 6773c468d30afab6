import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ConfigError, configWarnings, describeConfig, loadConfig } from './index.js';

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
    expect(warnings({ HTTPS_PROXY: 'http://proxy:3128' })).toEqual([expect.stringMatching(/not followed/)]);
  });
});
