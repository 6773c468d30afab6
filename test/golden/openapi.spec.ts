// The document of the built api against openapi.json; needs no database. `UPDATE_GOLDEN=1` writes it anew.
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
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
      if (!operation.summary || !operation.description || operation.tags?.length !== 1) bare.push(name);
      for (const parameter of operation.parameters ?? []) {
        if (!parameter.description) bare.push(`${name} ${parameter.name}`);
        if (!('example' in parameter) && !('examples' in parameter.schema))
          bare.push(`${name} ${parameter.name} example`);
      }
      for (const [status, response] of Object.entries(operation.responses as Json))
        if (!response.description) bare.push(`${name} ${status}`);
    }
    for (const [schema, { description, properties }] of Object.entries(document.components.schemas as Json)) {
      if (!description && !properties) bare.push(schema);
      for (const [field, value] of Object.entries((properties ?? {}) as Json)) {
        const hasExample = 'examples' in value || refersToSchema(value);
        if (!value.description || !hasExample) bare.push(`${schema}.${field}`);
      }
    }
    expect(bare).toEqual([]);
  });

  it('has headlines that fit a line, and names that a client generator can use', () => {
    const ids = operations().map(({ operation }) => operation.operationId as string);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { name, operation } of operations()) {
      expect(operation.operationId, name).toMatch(/^[a-z]+([A-Z][a-z]+)*$/);
      expect(operation.summary, name).toMatch(/^[A-Z].{5,70}[^.]$/);
    }
  });

  it('offers bodies and shows answers that its own schemas allow', () => {
    const wrong: string[] = [];
    let seen = 0;
    const look = (where: string, content: Json = {}) => {
      for (const [type, { schema, examples }] of Object.entries(content))
        for (const { value } of Object.values((examples ?? {}) as Json)) {
          seen += 1;
          wrong.push(...mismatches(value, schema).map((each) => `${where} ${type}${each}`));
        }
    };
    for (const { name, operation } of operations()) {
      look(name, operation.requestBody?.content);
      if (operation.requestBody) expect(operation.requestBody.content['application/json'].examples, name).toBeDefined();
      for (const [status, response] of Object.entries(operation.responses as Json))
        look(`${name} ${status}`, response.content);
    }
    expect(wrong).toEqual([]);
    expect(seen).toBeGreaterThan(100);
    // Seen to fail: what no schema allows is found.
    const subscriber = { $ref: '#/components/schemas/CreateSubscriber' };
    expect(mismatches({ nme: 'Acme', externalId: 5 }, subscriber)).toHaveLength(3);
  });

  it('shows a webhook whose signature verifies', () => {
    const { parameters, requestBody } = document.webhooks.event.post;
    const header = (name: string) => parameters.find((each: Json) => each.name === name).example as string;
    const { value } = requestBody.content['application/json'].examples['invoice.paid'];
    const secret = document.components.schemas.CreatedEndpoint.properties.secret.examples[0] as string;
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    const signed = `${header('webhook-id')}.${header('webhook-timestamp')}.${JSON.stringify(value)}`;
    expect(header('webhook-signature')).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
    expect(value.id).toBe(header('webhook-id'));
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
    for (const [, ref] of text.matchAll(/"\$ref": "([^"]+)"/g)) expect(target(ref), ref).toBeTypeOf('object');
    const tags = (document.tags as Json[]).map((tag) => tag.name as string);
    for (const { name, operation } of operations()) expect(tags, name).toContain(operation.tags[0]);
    const headers = document.webhooks.event.post.parameters.map((each: Json) => each.name);
    expect(headers).toEqual(expect.arrayContaining(['webhook-id', 'webhook-timestamp', 'webhook-signature', 'posthorn-delivery', 'posthorn-attempt']));
  });
});

function target(ref: string): Json | undefined {
  return ref
    .replace('#/', '')
    .split('/')
    .reduce<Json | undefined>((at, name) => at?.[name] as Json | undefined, document);
}

/** Where a value is not what a schema says: types, enums, required and unknown fields. */
function mismatches(value: unknown, schema: Json, at = ''): string[] {
  if (schema.$ref) return mismatches(value, target(schema.$ref as string)!, at);
  if (schema.anyOf) {
    const each = (schema.anyOf as Json[]).map((one) => mismatches(value, one, at));
    return each.some((found) => found.length === 0) ? [] : each[0];
  }
  const all = ((schema.allOf ?? []) as Json[]).flatMap((one) => mismatches(value, one, at));
  if (schema.type && ![schema.type].flat().some((type) => isOf(type as string, value)))
    return [...all, `${at} is not ${schema.type}`];
  if (schema.enum && !schema.enum.includes(value)) return [...all, `${at} is not in the enum`];
  if (Array.isArray(value))
    return [...all, ...value.flatMap((one, i) => mismatches(one, (schema.items ?? {}) as Json, `${at}/${i}`))];
  if (typeof value !== 'object' || value === null || !schema.properties) return all;
  const missing = ((schema.required ?? []) as string[]).filter((name) => !(name in value));
  return [
    ...all,
    ...missing.map((name) => `${at}/${name} is missing`),
    ...Object.entries(value).flatMap(([name, one]) =>
      name in schema.properties
        ? mismatches(one, schema.properties[name] as Json, `${at}/${name}`)
        : [`${at}/${name} is unknown`],
    ),
  ];
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}

/** What refers to another schema has its examples there. */
function refersToSchema(value: Json): boolean {
  return JSON.stringify(value).includes('"$ref"');
}
