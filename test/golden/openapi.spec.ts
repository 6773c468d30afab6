// The document of the built api against openapi.json; needs no database. `UPDATE_GOLDEN=1` writes it anew.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

const GOLDEN = new URL('../../openapi.json', import.meta.url);
const PRINT = new URL('../../dist/apps/api/src/docs/print-openapi.js', import.meta.url);

type Json = Record<string, any>; // oxlint-disable-line no-explicit-any
let text: string;
let document: Json;

beforeAll(async () => {
  // Descriptions come from comments, which only the build reads.
  if (!existsSync(PRINT)) throw new Error('dist/ is missing: run `npm run build` first.');
  const { stdout } = await promisify(execFile)(process.execPath, [PRINT.pathname], { maxBuffer: 32 * 1024 * 1024 });
  text = stdout;
  document = JSON.parse(text) as Json;
});

const operations = () =>
  Object.entries(document.paths as Json).flatMap(([path, item]) =>
    Object.entries(item as Json).map(([method, operation]) => ({ name: `${method} ${path}`, path, operation: operation as Json })),
  );

describe('openapi.json', () => {
  it('is what the api serves', async () => {
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(GOLDEN, text);
    expect(text).toBe(await readFile(GOLDEN, 'utf8'));
  });

  it('describes every operation, parameter and field, each with an example', () => {
    const bare: string[] = [];
    for (const { name, operation } of operations()) {
      if (!operation.summary || operation.tags?.length !== 1) bare.push(name);
      for (const parameter of operation.parameters ?? []) if (!parameter.description) bare.push(`${name} ${parameter.name}`);
      for (const [status, response] of Object.entries(operation.responses as Json)) if (!response.description) bare.push(`${name} ${status}`);
    }
    for (const [schema, { properties }] of Object.entries(document.components.schemas as Json))
      for (const [field, value] of Object.entries((properties ?? {}) as Json)) {
        const hasExample = 'examples' in value || refersToSchema(value);
        if (!value.description || !hasExample) bare.push(`${schema}.${field}`);
      }
    expect(bare).toEqual([]);
  });

  it('declares for every route with a key who may use it and how it can fail', () => {
    for (const { name, path, operation } of operations().filter((each) => each.path.startsWith('/v1/'))) {
      expect(operation.security, name).toEqual([{ apiKey: [] }]);
      expect(operation['x-required-scope'], name).toEqual(expect.any(String));
      expect(Object.keys(operation.responses), name).toEqual(expect.arrayContaining(['401', '403', '500', '503']));
      if (path.includes('{')) expect(operation.responses, name).toHaveProperty('404');
      expect(operation, name).not.toHaveProperty('x-problems');
    }
  });

  it('is 3.1: no words of 3.0, every reference leads somewhere, every tag is described', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(text).not.toMatch(/"nullable"/);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) expect(document.components.schemas).toHaveProperty(name);
    const tags = (document.tags as Json[]).map((tag) => tag.name as string);
    for (const { name, operation } of operations()) expect(tags, name).toContain(operation.tags[0]);
    const headers = document.webhooks.event.post.parameters.map((each: Json) => each.name);
    expect(headers).toEqual(expect.arrayContaining(['webhook-id', 'webhook-timestamp', 'webhook-signature', 'posthorn-delivery', 'posthorn-attempt']));
  });
});

/** What refers to another schema has its examples there. */
function refersToSchema(value: Json): boolean {
  return JSON.stringify(value).includes('"$ref"');
}
