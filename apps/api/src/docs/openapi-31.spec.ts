import type { OpenAPIObject } from '@nestjs/swagger';
import { describe, expect, it } from 'vitest';
import { toOpenApi31 } from './openapi-31.js';

function convert(properties: object): Record<string, unknown> {
  const document = {
    openapi: '3.1.0',
    paths: {},
    components: { schemas: { ThingDto: { type: 'object', properties } } },
  };
  const { components } = toOpenApi31(document as unknown as OpenAPIObject);
  return (components!.schemas!['Thing'] as { properties: Record<string, unknown> }).properties;
}

describe('toOpenApi31', () => {
  it('says in 2020-12 what 3.0 said otherwise', () => {
    const ref = '#/components/schemas/OtherDto';
    expect(
      convert({
        a: { type: 'string', nullable: true, example: 'x' },
        b: { nullable: true, allOf: [{ $ref: ref }], description: 'd' },
        c: { type: 'number', minimum: 0, exclusiveMinimum: true, example: 1.5 },
        d: { type: 'string', enum: ['x'], nullable: true },
        e: { type: 'object', description: 'any' },
        f: { type: 'number', example: 3 },
        g: { type: 'object', additionalProperties: { type: 'string', nullable: true } },
      }),
    ).toEqual({
      a: { type: ['string', 'null'], examples: ['x'] },
      b: {
        anyOf: [{ $ref: '#/components/schemas/Other' }, { type: 'null' }],
        description: 'd',
        examples: [null],
      },
      c: { type: 'number', exclusiveMinimum: 0, examples: [1.5] },
      d: { type: ['string', 'null'], enum: ['x', null], examples: [null] },
      e: { description: 'any' },
      f: { type: 'integer', examples: [3] },
      g: { type: 'object', additionalProperties: { type: ['string', 'null'], examples: [null] } },
    });
  });

  it('leaves data alone, and fields that are called like words of a schema', () => {
    const example = { nullable: true, example: 1, $ref: 'SomethingDto' };
    expect(
      convert({
        nullable: { type: 'boolean', description: 'n' },
        example: { type: 'object', properties: {}, example },
      }),
    ).toEqual({
      nullable: { type: 'boolean', description: 'n' },
      example: { type: 'object', properties: {}, examples: [example] },
    });
  });

  it('refuses two schemas that would have one name', () => {
    const schemas = { ThingDto: { type: 'object' }, Thing: { type: 'object' } };
    const document = { openapi: '3.1.0', paths: {}, components: { schemas } };
    expect(() => toOpenApi31(document as unknown as OpenAPIObject)).toThrow('two schemas are called Thing');
  });
});
