// Real: the api with its HTTP server, PostgreSQL. What a customer who mistypes is told: the field, and what would be right.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

const ENDPOINTS = '/v1/subscribers/acme/endpoints';
const URL = 'https://hooks.acme.example/';
let fixture: ApiFixture;
let endpoint: string;

beforeAll(async () => {
  fixture = await startApi();
  await fixture.call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
  endpoint = `${ENDPOINTS}/${(await fixture.call('POST', ENDPOINTS, { url: URL })).body.id}`;
});
afterAll(() => fixture?.stop());

describe('a wrong field is named, with what would be right', () => {
  it.each([
    [{ url: '' }, '/url', 'must not be empty'],
    [{ url: URL, timeoutSeconds: 31 }, '/timeoutSeconds', 'must be at most 30'],
    [{ url: URL, timeoutSeconds: '15' }, '/timeoutSeconds', 'must be a whole number'],
    [{ url: URL, eventTypes: [] }, '/eventTypes', 'must not be empty'],
    [{ url: URL, eventTypes: [1] }, '/eventTypes', 'each value must be a string'],
    [{ url: URL, eventTypes: ['*.paid'] }, '/eventTypes/0', /invoice\.paid, a family such as invoice\.\*/],
    [{ url: URL, description: 'x'.repeat(1025) }, '/description', 'must have at most 1024 characters'],
    [{ url: URL, events: ['*'] }, '/events', /^is not a field of this; there are .*url.*eventTypes/],
  ])('endpoints: %j', async (body, pointer, detail) => {
    const reply = await fixture.call('POST', ENDPOINTS, body);
    expect(reply.status, reply.text).toBe(400);
    expect(reply.body.errors[0]).toEqual({ pointer, detail: expect.stringMatching(detail) });
    expect(reply.body.detail).toBe(`\`${pointer}\` ${reply.body.errors[0].detail}.`);
  });

  it.each([
    [{ type: 'a.b', data: 1 }, '/subscriber', /^must be the id \(sub_…\) or externalId/],
    [{ subscriber: 'acme', type: 'a b', data: 1 }, '/type', /^must be segments of letters/],
    [{ subscriber: 'acme', type: 'a.b', version: 1, data: 1 }, '/version', /^must be a text of 1 to 32/],
    [{ subscriber: 'acme', type: 'a.b', occurredAt: 'now', data: 1 }, '/occurredAt', /^must be an instant/],
    [{ subscriber: 'acme', type: 'a.b' }, '/data', /^must be given/],
  ])('events: %j', async (body, pointer, detail) => {
    const reply = await fixture.call('POST', '/v1/events', body);
    expect(reply.status, reply.text).toBe(400);
    expect(reply.body.errors).toEqual([{ pointer, detail: expect.stringMatching(detail) }]);
  });

  it('in the query', async () => {
    const unknown = await fixture.call('GET', '/v1/deliveries?state=failed');
    expect(unknown.body.errors[0].detail).toMatch(/^is not a field of this; there are .*status/);
    const broken = await fixture.call('GET', '/v1/deliveries?status=broken');
    expect(broken.body.errors[0].detail).toBe('must be one of pending, delivered, failed, cancelled');
  });

  it('in a test event, whose fields have their own names', async () => {
    const unknown = await fixture.call('POST', `${endpoint}/test`, { type: 'invoice.paid' });
    expect(unknown).toMatchObject({ status: 400, body: { errors: [{ pointer: '/type' }] } });
    expect(unknown.body.detail).toContain('there are eventType, version');
    const wrong = await fixture.call('POST', `${endpoint}/test`, { eventType: 5 });
    expect(wrong).toMatchObject({ status: 400, body: { errors: [{ pointer: '/eventType' }] } });
    const missing = await fixture.call('POST', `${endpoint}/test`, { eventType: 'no.such' });
    expect(missing).toMatchObject({
      status: 400,
      body: { code: 'unknown_event_type', errors: [{ pointer: '/eventType' }] },
    });
    expect((await fixture.call('POST', `${endpoint}/test`)).status).toBe(202);
  });

  it('and a path that takes other methods names them', async () => {
    const reply = await fixture.call('PUT', '/v1/subscribers/acme', {});
    expect(reply).toMatchObject({
      status: 405,
      body: { detail: 'This path takes DELETE, GET, HEAD, PATCH.' },
    });
  });
});
