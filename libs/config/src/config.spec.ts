import { describe, expect, it } from 'vitest';
import { ConfigError, describeConfig, loadConfig } from './index.js';

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
});
