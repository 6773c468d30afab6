/**
 * Promise: a customer can live in Swagger UI. Real: Chromium, api and worker processes, PostgreSQL, a receiver process; the
 * key is bound to the customer's own subscriber, and everything is read off the page.
 *
 *   open /docs → Authorize → create an endpoint → test event → see its attempt → rotate the secret → test again
 *   → list deliveries → resend → a typing error is explained
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { hasBrowser, openTab, SwaggerUi, type ShownAnswer, type Tab } from '../support/browser.js';
import { runCli, startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';

const SCOPES = [
  'subscribers:read',
  'endpoints:read',
  'endpoints:write',
  'deliveries:read',
  'deliveries:resend',
];
// Far beyond what a test event takes; each look is one press of Execute.
const LOOKS_MAX = 100;

// Each press of a button draws a long page, on a machine that may be busy.
describe.skipIf(!hasBrowser)('a customer in Swagger UI', { timeout: 60_000 }, () => {
  let posthorn: Posthorn;
  let receiver: Receiver;
  let tab: Tab;
  let ui: SwaggerUi;
  let fields: { subscriber: string; endpoint: string };
  let secret: string;

  beforeAll(async () => {
    [posthorn, receiver] = await Promise.all([startPosthorn(), startReceiver()]);
    // The external id that the page offers for {subscriber}.
    await posthorn.client.createSubscriber({ name: 'Acme Corporation', externalId: 'acme-corp' });
    await posthorn.client.createSubscriber({ name: 'Somebody else', externalId: 'other' });
    tab = await openTab(`${posthorn.api.url}/docs`);
    ui = new SwaggerUi(tab.page);
  }, 90_000);

  afterAll(async () => {
    await tab?.close();
    await posthorn?.stop();
    await receiver?.stop();
  });

  it('reads what this is, and how to verify what it will receive', async () => {
    await tab.page.locator('.opblock').first().waitFor();
    expect(await tab.page.title()).toMatch(/Posthorn/);
    const text = await tab.page.locator('.info').innerText();
    expect(text).toMatch(/verify/i);
    expect(text).toMatch(/5 s, 30 s, 2 min/);
    const groups = await tab.page.locator('.opblock-tag a').allInnerTexts();
    expect(groups.map((each) => each.trim())).toEqual(expect.arrayContaining(['Endpoints', 'Deliveries']));
    const webhook = await ui.open('receiveEvent');
    expect(await webhook.innerText()).toMatch(/webhook-signature[^]*posthorn-attempt[^]*"invoice.paid"/);
  });

  it('is told to authorize first, and then who may do what', async () => {
    expect(await ui.tryOut('listEndpoints')).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated' },
    });
    await ui.authorize(await keyOf('acme-corp'));
    expect(await ui.tryOut('getSubscriber')).toMatchObject({
      status: 200,
      body: { name: 'Acme Corporation' },
    });
    expect(await ui.tryOut('getSubscriber', { fields: { subscriber: 'other' } })).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
    expect(await ui.tryOut('publishEvent')).toMatchObject({
      status: 403,
      body: { code: 'forbidden', detail: expect.stringContaining('events:write') },
    });
  });

  it('creates an endpoint with what the page offers, and points it to the receiver', async () => {
    const made = await ui.tryOut('createEndpoint');
    expect(made).toMatchObject({ status: 201, body: { url: 'https://hooks.acme.example.com/posthorn' } });
    expect(made.body.secret).toMatch(/^whsec_/);
    secret = made.body.secret as string;
    fields = { subscriber: 'acme-corp', endpoint: made.body.id as string };
    const changed = await ui.tryOut('changeEndpoint', { fields, body: { url: receiver.url('/ok') } });
    expect(changed).toMatchObject({ status: 200, body: { url: receiver.url('/ok'), status: 'enabled' } });
  });

  it('sends a test event, and sees the request and the answer', async () => {
    const sent = await ui.tryOut('sendTestEvent', { fields });
    expect(sent).toMatchObject({
      status: 202,
      body: { id: expect.stringMatching(/^evt_/), delivery: expect.stringMatching(/^dlv_/) },
    });
    const shown = await deliveredAfter(sent.body.delivery as string);
    expect(shown.body.event.data).toMatch(/test event from Posthorn/);
    expect(shown.body.timeline).toMatchObject([
      { n: 1, status: 'delivered', trigger: 'test', url: receiver.url('/ok'), statusCode: 200 },
    ]);
    expect(shown.body.timeline[0].response.headers).toHaveProperty('date');
    const [entry] = await receiver.waitFor(1);
    new Webhook(secret).verify(entry.body, entry.headers as Record<string, string>);
    expect(entry.headers).toMatchObject({ 'webhook-id': sent.body.id, 'posthorn-attempt': '1' });
  });

  it('rotates the secret: both sign the next one', async () => {
    const rotated = await ui.tryOut('rotateSecret', { fields });
    expect(rotated).toMatchObject({ status: 200, body: { data: [{ expiresAt: null }] } });
    const next = rotated.body.data[0].secret as string;
    expect(next).not.toBe(secret);
    const sent = await ui.tryOut('sendTestEvent', { fields });
    await deliveredAfter(sent.body.delivery as string);
    const [, entry] = await receiver.waitFor(2);
    expect(entry.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/);
    for (const each of [secret, next])
      new Webhook(each).verify(entry.body, entry.headers as Record<string, string>);
  });

  it('lists what was delivered, resends one, and sees it go', async () => {
    const list = await ui.tryOut('listDeliveries');
    expect(list).toMatchObject({ status: 200, body: { nextCursor: null } });
    expect(list.body.data.map((each: { status: string }) => each.status)).toEqual(['delivered', 'delivered']);
    const delivery = list.body.data[1].id as string;
    const resent = await ui.tryOut('resendDelivery', { fields: { delivery } });
    expect(resent).toMatchObject({ status: 202, body: { result: 'queued' } });
    const shown = await deliveredAfter(delivery, 2);
    expect(shown.body.timeline.map((each: { trigger: string }) => each.trigger)).toEqual(['test', 'resend']);
    const journal = await receiver.waitFor(3);
    expect(journal[2].headers['webhook-id']).toBe(journal[0].headers['webhook-id']);
    expect(journal[2].body).toEqual(journal[0].body);
  });

  it('is told what is wrong with a wrong request', async () => {
    const wrong = await ui.tryOut('createEndpoint', { body: { url: 'ftp://acme.example', colour: 'red' } });
    expect(wrong).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ pointer: '/colour' }] },
    });
    expect(wrong.text).toContain('is not a field of this');
  });

  it('did all of it without any other server', () => {
    expect(tab.strangers).toEqual([]);
    // Chromium itself complains of answers that are refusals; nothing else may.
    expect(tab.complaints.filter((each) => !/status of 40[0134]/.test(each))).toEqual([]);
  });

  it('runs no script but its own files, whatever stands in the page', async () => {
    await tab.page.evaluate(
      `document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.injected = true' }))`,
    );
    expect(await tab.page.evaluate('window.injected')).toBeUndefined();
    // The same list that was empty of it above: the page itself needs nothing that its policy forbids.
    expect(tab.complaints.join()).toMatch(/Content Security Policy/);
  });

  /** Presses Execute until the delivery has ended; the last answer is on the page. */
  async function deliveredAfter(delivery: string, attempts = 1): Promise<ShownAnswer> {
    await receiver.waitFor(attempts);
    for (let look = 0; look < LOOKS_MAX; look++) {
      const shown = await ui.tryOut('getDelivery', { fields: { delivery } });
      expect(shown.status).toBe(200);
      if (shown.body.status !== 'pending') {
        expect(shown.body).toMatchObject({ status: 'delivered', attempts, nextAttempt: null });
        expect(shown.text).toContain('"status": "delivered"');
        return shown;
      }
    }
    throw new Error(`delivery ${delivery} stays pending`);
  }

  async function keyOf(subscriber: string): Promise<string> {
    const { output } = await runCli(
      ['keys', 'create', '--name', subscriber, '--subscriber', subscriber, '--json', '--scope', ...SCOPES],
      { DATABASE_URL: posthorn.databaseUrl, DANGEROUS_ALLOW_LOSSY_DATABASE: 'true' },
    );
    return (JSON.parse(output) as { key: string }).key;
  }
});
