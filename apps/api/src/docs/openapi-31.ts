import type { OpenAPIObject } from '@nestjs/swagger';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Node = Record<string, Json>;

/**
 * What @nestjs/swagger still writes as 3.0, in the words of 3.1 (JSON Schema 2020-12), in one pass: `nullable` becomes a
 * type, boolean exclusive bounds become numbers, `example` of a schema becomes `examples`. Class names lose their Dto.
 */
export function toOpenApi31(document: OpenAPIObject): OpenAPIObject {
  // Through JSON: functions and undefined of decorators are gone, and the golden file is exactly this.
  const plain = JSON.parse(JSON.stringify(document)) as Node;
  const schemas = ((plain['components'] as Node | undefined)?.['schemas'] ?? {}) as Record<string, Json>;
  const renamed = Object.entries(schemas)
    .map(([name, schema]) => [publicName(name), schema] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const taken = renamed.find(([name], at) => renamed[at + 1]?.[0] === name);
  // One would be shown in place of the other, without a word.
  if (taken) throw new Error(`Bug: two schemas are called ${taken[0]}`);
  if (plain['components']) (plain['components'] as Node)['schemas'] = Object.fromEntries(renamed);
  walk(plain, false);
  return plain as unknown as OpenAPIObject;
}

function publicName(name: string): string {
  return name.replace(/Dto$/, '');
}

/** Schemas stand under `schema`, under `schemas`, and inside other schemas. */
const INSIDE_SCHEMAS = new Set(['properties', 'patternProperties', '$defs']);
const SCHEMA_KEYS = new Set(['items', 'additionalProperties', 'allOf', 'anyOf', 'oneOf', 'not']);

function walk(node: Json, isSchema: boolean): void {
  if (Array.isArray(node)) {
    for (const each of node) walk(each, isSchema);
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  const ref = node['$ref'];
  if (typeof ref === 'string') node['$ref'] = ref.replace(/Dto$/, '');
  for (const [key, value] of Object.entries(node)) {
    // Examples are data: a field of theirs that is called nullable is not ours to change.
    if (key === 'example' || key === 'examples' || key === 'default' || key === 'enum' || key === 'value')
      continue;
    if (key === 'schemas' || (isSchema && INSIDE_SCHEMAS.has(key)))
      for (const each of Object.values((value ?? {}) as Node)) walk(each, true);
    else walk(value, key === 'schema' || (isSchema && SCHEMA_KEYS.has(key)));
  }
  if (isSchema) convert(node);
}

function convert(schema: Node): void {
  // `unknown` is written as an object; any JSON value has no type. Records say what their values are.
  if (schema['type'] === 'object' && !('properties' in schema) && !('additionalProperties' in schema)) {
    delete schema['type'];
    delete schema['nullable'];
  }
  if ('example' in schema) {
    schema['examples'] ??= [schema['example']!];
    delete schema['example'];
  }
  for (const [flag, bound] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    if (typeof schema[flag] !== 'boolean') continue;
    if (schema[flag]) {
      schema[flag] = schema[bound]!;
      delete schema[bound];
    } else delete schema[flag];
  }
  // TypeScript has one kind of number: a field whose example is whole is whole.
  const isWhole = Array.isArray(schema['examples']) && schema['examples'].every(Number.isInteger);
  if (isWhole && schema['type'] === 'number') schema['type'] = 'integer';
  if (isWhole && Array.isArray(schema['type']))
    schema['type'] = schema['type'].map((each) => (each === 'number' ? 'integer' : each));
  // The order of a union is the compiler's, and changes with what it compiled before: sorted, the golden file stays.
  if (Array.isArray(schema['enum']))
    schema['enum'].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const nullable = schema['nullable'] === true;
  delete schema['nullable'];
  // An example of null does not survive the decorators.
  if (nullable || (Array.isArray(schema['type']) && schema['type'].includes('null')))
    schema['examples'] ??= [null];
  if (!nullable) return;
  const { type } = schema;
  if (typeof type === 'string') {
    schema['type'] = [type, 'null'];
    if (Array.isArray(schema['enum']) && !schema['enum'].includes(null)) schema['enum'].push(null);
    return;
  }
  const { allOf, $ref, ...rest } = schema;
  if (allOf === undefined && $ref === undefined) return;
  for (const key of Object.keys(schema)) delete schema[key];
  Object.assign(schema, rest, {
    anyOf: [...((allOf as Json[] | undefined) ?? [{ $ref: $ref! }]), { type: 'null' }],
  });
}
