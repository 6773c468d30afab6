/** Real: the api over HTTP, PostgreSQL. No worker runs: what is looked at is what was stored. */
import { BATCH_BODY_BYTES_MAX, EVENT_BODY_BYTES_MAX, EVENT_DATA_BYTES_MAX } from '@app/contracts';
import { fromPublicId, newId, systemRandom, toPublicId } from '@app/domain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../support/fixtures.js';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await startApi();
  await fixture.call('POST', '/v1/event-types', {
    name: 'invoice.paid',
    versions: [{ version: '1' }, { version: '2' }],
  });
  await fixture.call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
  await fixture.call('POST', '/v1/subscribers/acme/endpoints', {
    url: 'http://127.0.0.1:8009/',
    eventTypes: ['invoice.*'],
  });
});
afterAll(() => fixture.stop());

const publish = (data: string, more = '') =>
  fixture.call('POST', '/v1/events', `{"subscriber":"acme","type":"invoice.paid"${more},"data":${data}}`);
async function stored(id: string): Promise<{
  data: string;
  version: string;
  matched: number;
  occurred_at: Date;
  traceparent: string | null;
}> {
  const [row] = await fixture.api.database.query('SELECT * FROM events WHERE id = $1', [
    fromPublicId('evt', id),
  ]);
  return row as never;
}

describe('data', () => {
  it.each([
    ['key order and spelling of numbers', '{"b":1.0,"a":1e2,"n":12345678901234567890,"z":-0.0}'],
    ['names that stand twice', '{"a":1,"a":2}'],
    ['white space inside', '{ "a" :\t[ 1 ,\n 2 ] }'],
    ['escapes as they are', '"\\u00e9\\u000a\\/\\ud83d\\ude00"'],
    ['an escaped NUL', '{"a":"\\u0000"}'],
    ['an escaped lone surrogate', '["\\ud800","\\udc00x"]'],
    ['characters beyond the BMP', '"😀\u2028é"'],
    ['__proto__ and constructor', '{"__proto__":{"a":1},"constructor":{"prototype":1}}'],
    ['depth', '['.repeat(5000) + ']'.repeat(5000)],
    ['null', 'null'],
    ['an empty string', '""'],
  ])('keeps %s', async (_, data) => {
    const { status, body } = await publish(data);
    expect(status).toBe(202);
    expect(body).toEqual({ id: body.id, deliveries: 1 });
    expect(sha256((await stored(body.id)).data)).toBe(sha256(data));
  });

  it('takes the last of two `data`, as every JSON parser does', async () => {
    const { body } = await publish('1,"d\\u0061ta":2');
    expect((await stored(body.id)).data).toBe('2');
  });

  it.each([
    ['a raw NUL', Buffer.from('{"subscriber":"acme","type":"invoice.paid","data":"\0"}')],
    [
      'bytes that are no UTF-8',
      Buffer.concat([
        Buffer.from('{"subscriber":"acme","type":"invoice.paid","data":"'),
        Buffer.from([0xed, 0xa0, 0x80]),
        Buffer.from('"}'),
      ]),
    ],
    ['half a body', Buffer.from('{"subscriber":"acme","type":"invoice.paid","data":{')],
    ['two values', Buffer.from('{}{}')],
    ['nothing', Buffer.from(' ')],
  ])('refuses %s as invalid_json', async (_, bytes) => {
    const { status, body } = await fixture.call('POST', '/v1/events', bytes);
    expect([status, body.code]).toEqual([400, 'invalid_json']);
  });

  it('may have 512 KiB and not a byte more', async () => {
    const exactly = JSON.stringify('x'.repeat(EVENT_DATA_BYTES_MAX - 2));
    expect((await publish(exactly)).status).toBe(202);
    const { status, body } = await publish(JSON.stringify('x'.repeat(EVENT_DATA_BYTES_MAX - 1)));
    expect([status, body.code, body.limit]).toEqual([413, 'payload_too_large', EVENT_DATA_BYTES_MAX]);
    const whole = await publish(JSON.stringify('x'.repeat(EVENT_BODY_BYTES_MAX)));
    expect([whole.status, whole.body.code, whole.body.limit]).toEqual([
      413,
      'payload_too_large',
      EVENT_BODY_BYTES_MAX,
    ]);
  });
});

describe('the envelope', () => {
  it('names every field that is wrong', async () => {
    const { status, body } = await fixture.call('POST', '/v1/events', {
      type: 'no spaces please',
      version: 3,
      occurredAt: 'yesterday',
      extra: 1,
    });
    expect([status, body.code]).toEqual([400, 'invalid_request']);
    expect(body.errors.map((error: { pointer: string }) => error.pointer).toSorted()).toEqual([
      '/data',
      '/extra',
      '/occurredAt',
      '/subscriber',
      '/type',
      '/version',
    ]);
  });

  it.each([
    ['{"subscriber":"nobody","type":"invoice.paid","data":1}', 'unknown_subscriber'],
    ['{"subscriber":"acme","type":"invoice.payed","data":1}', 'unknown_event_type'],
    ['{"subscriber":"acme","type":"invoice.paid","version":"9","data":1}', 'unknown_event_type_version'],
    [
      '{"subscriber":"acme","type":"invoice.paid","id":"evt_00000000000000000000000000","data":1}',
      'invalid_event_id',
    ],
    ['{"subscriber":"acme","type":"invoice.paid","id":"order-1","data":1}', 'invalid_event_id'],
    ['{"subscriber":"acme","type":"invoice.paid","occurredAt":"2026-W01","data":1}', 'invalid_request'],
    [
      '{"subscriber":"acme","type":"invoice.paid","occurredAt":"2026-01-02T03:04:05","data":1}',
      'invalid_request',
    ],
    ['[1]', 'invalid_request'],
  ])('%s is %s', async (text, code) => {
    const { status, body } = await fixture.call('POST', '/v1/events', text);
    expect([status, body.code]).toEqual([400, code]);
  });

  it('defaults to the first version of the type and to now', async () => {
    const { body } = await publish('1');
    const row = await stored(body.id);
    expect(row.version).toBe('1');
    expect(Math.abs(row.occurred_at.getTime() - Date.now())).toBeLessThan(10_000);
    const other = await publish('1', ',"version":"2","occurredAt":"2026-01-02T03:04:05.678+02:00"');
    expect(await stored(other.body.id)).toMatchObject({
      version: '2',
      occurred_at: new Date('2026-01-02T01:04:05.678Z'),
    });
  });

  it('takes the last hours of the last year in any zone', async () => {
    const { body } = await publish('1', ',"occurredAt":"9999-12-31T23:59:59-14:00"');
    expect((await stored(body.id)).occurred_at.toISOString()).toBe('+010000-01-01T13:59:59.000Z');
  });

  it('keeps a trace that is well-formed and ignores any other', async () => {
    const good = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    for (const [traceparent, kept] of [
      [good, good],
      ['00-zz', null],
      [good.replace(/4bf.*36/, '0'.repeat(32)), null],
    ] as const) {
      const { body } = await fixture.call(
        'POST',
        '/v1/events',
        '{"subscriber":"acme","type":"invoice.paid","data":1}',
        { headers: { traceparent } },
      );
      expect((await stored(body.id)).traceparent).toBe(kept);
    }
  });

  it('takes an id of the publisher once', async () => {
    const id = toPublicId('evt', newId(Date.now(), systemRandom));
    const first = await publish('1', `,"id":"${id}"`);
    expect(first.body).toEqual({ id, deliveries: 1 });
    expect((await publish('1', `,"id":"${id}"`)).body).toEqual(first.body);
    const other = await publish('2', `,"id":"${id}"`);
    expect([other.status, other.body.code]).toEqual([409, 'event_id_in_use']);
  });

  it('says when nothing will be sent', async () => {
    await fixture.call('POST', '/v1/subscribers', { name: 'Quiet', externalId: 'quiet' });
    const publishQuietly = () =>
      fixture.call('POST', '/v1/events', { subscriber: 'quiet', type: 'invoice.paid', data: 1 });
    expect((await publishQuietly()).body).toMatchObject({ deliveries: 0, note: 'no_matching_endpoint' });
    const { body: endpoint } = await fixture.call('POST', '/v1/subscribers/quiet/endpoints', {
      url: 'http://127.0.0.1:8009/',
    });
    await fixture.call('POST', `/v1/subscribers/quiet/endpoints/${endpoint.id}/disable`);
    const answer = await publishQuietly();
    expect(answer.body).toMatchObject({ deliveries: 1, note: 'only_disabled_endpoints' });
    const { body: found } = await fixture.call('GET', `/v1/events/${answer.body.id}`);
    expect(found.deliveries).toMatchObject([{ status: 'cancelled', cancelReason: 'endpoint_disabled' }]);
  });
});

describe('the Idempotency-Key of a publish', () => {
  it('gets the first answer again, also from many at once, and makes one event', async () => {
    const ask = (key: string) =>
      fixture.call('POST', '/v1/events', '{"subscriber":"acme","type":"invoice.paid","data":7}', {
        headers: { 'idempotency-key': key },
      });
    const first = await ask('one');
    const again = await ask('"one"');
    expect([again.status, again.body, again.headers.get('idempotency-replayed')]).toEqual([
      202,
      first.body,
      'true',
    ]);
    const many = await Promise.all(Array.from({ length: 20 }, () => ask('many')));
    expect(new Set(many.filter(({ status }) => status === 202).map(({ body }) => body.id)).size).toBe(1);
    for (const { status, body } of many)
      if (status !== 202) expect([status, body.code]).toEqual([409, 'idempotency_key_in_use']);
    const other = await fixture.call(
      'POST',
      '/v1/events',
      '{"subscriber":"acme","type":"invoice.paid","data":8}',
      { headers: { 'idempotency-key': 'one' } },
    );
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
  });

  it('is not spent by a refusal', async () => {
    const ask = (type: string) =>
      fixture.call(
        'POST',
        '/v1/events',
        { subscriber: 'acme', type, data: 1 },
        { headers: { 'idempotency-key': 'mend' } },
      );
    expect((await ask('not.known')).status).toBe(400);
    expect((await ask('invoice.paid')).status).toBe(202);
  });

  it('repeats a batch’s answer, refusals included', async () => {
    const ask = () =>
      fixture.call(
        'POST',
        '/v1/events/batch',
        {
          events: [
            { subscriber: 'acme', type: 'invoice.paid', data: 1 },
            { subscriber: 'x', type: 'y', data: 1 },
          ],
        },
        { headers: { 'idempotency-key': 'batch' } },
      );
    const first = await ask();
    expect(first.body.results).toMatchObject([{ deliveries: 1 }, { error: { code: 'unknown_subscriber' } }]);
    expect((await ask()).body).toEqual(first.body);
  });
});

describe('a batch', () => {
  it('takes a thousand events and not one more, four megabytes and not more', async () => {
    const event = '{"subscriber":"acme","type":"invoice.paid","data":1}';
    const batch = (count: number) =>
      fixture.call(
        'POST',
        '/v1/events/batch',
        `{"events":[${Array.from({ length: count }, () => event).join(',')}]}`,
      );
    expect((await batch(1000)).body.results).toHaveLength(1000);
    const over = await batch(1001);
    expect([over.status, over.body.limit]).toEqual([400, 1000]);
    const huge = await fixture.call('POST', '/v1/events/batch', ' '.repeat(BATCH_BODY_BYTES_MAX + 1));
    expect([huge.status, huge.body.code, huge.body.limit]).toEqual([
      413,
      'payload_too_large',
      BATCH_BODY_BYTES_MAX,
    ]);
    const large = `{"events":[${Array.from({ length: 7 }, () => event.replace('1}', `${JSON.stringify('y'.repeat(EVENT_DATA_BYTES_MAX - 2))}}`)).join(',')}]}`;
    expect((await fixture.call('POST', '/v1/events/batch', large)).status).toBe(202);
  });

  it('lets bad events fail alone, with pointers into the batch', async () => {
    const good = { subscriber: 'acme', type: 'invoice.paid', data: { a: 1 } };
    const { status, body } = await fixture.call('POST', '/v1/events/batch', {
      events: [
        good,
        { ...good, more: 1 },
        7,
        { ...good, type: 'nope' },
        { ...good, data: 'z'.repeat(EVENT_DATA_BYTES_MAX) },
        good,
      ],
    });
    expect(status).toBe(202);
    expect(
      body.results.map(
        (result: { error?: { code: string; errors?: { pointer: string }[] } }) =>
          result.error?.code ?? 'accepted',
      ),
    ).toEqual([
      'accepted',
      'invalid_request',
      'invalid_request',
      'unknown_event_type',
      'payload_too_large',
      'accepted',
    ]);
    expect(body.results[1].error.errors[0].pointer).toBe('/events/1/more');
    expect(body.results[3].error.errors[0].pointer).toBe('/events/3/type');
  });

  it.each(['{}', '{"events":[]}', '{"events":{}}', '{"events":[1],"x":1}'])(
    'refuses %s whole',
    async (text) => {
      const { status, body } = await fixture.call('POST', '/v1/events/batch', text);
      expect([status, body.code]).toEqual([400, 'invalid_request']);
    },
  );
});
