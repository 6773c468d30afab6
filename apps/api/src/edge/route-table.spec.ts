import { BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX } from '@app/contracts';
import type { RouteOptions } from 'fastify';
import { describe, expect, it } from 'vitest';
import { RouteTable } from './route-table.js';

const route = (method: string, url: string) => ({ method, url }) as RouteOptions;

describe('RouteTable', () => {
  it('knows which methods a path has, whatever its parameters are', () => {
    const table = new RouteTable();
    for (const each of [route('GET', '/v1/a/:id'), route('PATCH', '/v1/a/:id'), route('POST', '/v1/a')])
      table.add(each);
    expect(table.allowed('/v1/a/x?y=1')).toEqual(['GET', 'PATCH']);
    expect(table.allowed('/v1/a')).toEqual(['POST']);
    for (const path of ['/v1/a/', '/v1', '/v1/b', '/v1/a/x/y']) expect(table.allowed(path)).toEqual([]);
  });

  it('bounds every body', () => {
    const table = new RouteTable();
    const batch = route('POST', '/v1/events/batch');
    const other = route('POST', '/v1/a');
    table.add(batch);
    table.add(other);
    expect([batch.bodyLimit, other.bodyLimit]).toEqual([BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX]);
  });
});
