/**
 * Promise: what an internal service publishes arrives at every endpoint that wants it, byte for byte, signed, whatever
 * dies on the way. Real: every example payload of GitHub's webhooks, api and worker processes, PostgreSQL, a receiver
 * process; signatures are checked by the Standard Webhooks library.
 *
 *   first run   publish all → one endpoint fails every third request → its retries are brought forward by resending
 *   second run  the same while the worker is killed with -9 ten times, each time with attempts under way
 */
import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../support/fixtures.js';
import { runCli, startPosthorn, type Posthorn } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';

interface Example {
  type: string;
  data: string;
}
interface Delivery {
  id: string;
  status: string;
  attempts: number;
  nextAttempt: { at: string; reason: string } | null;
  timeline: { n: number; status: string }[];
}

const EXAMPLES_FILE = new URL(
  '../../node_modules/@octokit/webhooks-examples/api.github.com/index.json',
  import.meta.url,
);
const KILLS = 10;

let posthorn: Posthorn;
let receiver: Receiver;
const examples = (
  JSON.parse(readFileSync(EXAMPLES_FILE, 'utf8')) as { name: string; examples: unknown[] }[]
).flatMap(({ name, examples: payloads }) =>
  payloads.map((data): Example => ({ type: `github.${name}`, data: JSON.stringify(data) })),
);

beforeAll(async () => {
  posthorn = await startPosthorn({ env: { POSTHORN_AUTO_CREATE_EVENT_TYPES: 'true' } });
  receiver = await startReceiver();
}, 120_000);

afterAll(async () => {
  await posthorn.stop();
  await receiver.stop();
});

describe('every example of GitHub’s webhooks', () => {
  it('arrives at each matching endpoint: signed, byte for byte, attempts in order', async () => {
    expect(examples.length).toBeGreaterThan(300);
    const round = await subscribe('first');
    const ids = new Map<string, Example>();
    for (const example of examples) ids.set(await publish('first', example), example);
    await settle(round, examples.length);

    const journal = await receiver.journal();
    checkArrivals(journal, round, ids);
    // Nothing died, so every repeat has a failed attempt before it.
    for (const entries of byDelivery(journal).values()) {
      expect(entries.map((entry) => entry.headers['posthorn-attempt'])).toEqual(
        entries.map((_, at) => String(at + 1)),
      );
      expect(entries.map((entry) => entry.answer)).toEqual([...entries.slice(1).map(() => '500'), '200']);
    }
    await checkTimelines();
    await expectDoctorClean();
  }, 180_000);

  it('loses nothing when the worker is killed ten times', async () => {
    await receiver.reset();
    const round = await subscribe('second');
    const ids = new Map<string, Example>();
    const perKill = Math.ceil(examples.length / KILLS);
    for (let kill = 0; kill < KILLS; kill++) {
      const before = (await receiver.journal()).length;
      for (const example of examples.slice(kill * perKill, (kill + 1) * perKill))
        ids.set(await publish('second', example), example);
      await receiver.waitFor(before + 1, { timeoutMs: 40_000 });
      await posthorn.workers.at(-1)!.stop('SIGKILL');
      await posthorn.startWorker();
    }
    await settle(round, examples.length);

    const journal = await receiver.journal();
    checkArrivals(journal, round, ids);
    await checkTimelines();
    await expectDoctorClean();
  }, 300_000);
});

interface Round {
  all: { id: string; path: string; secret: string };
  pulls: { id: string; path: string; secret: string };
  flaky: { id: string; path: string; secret: string };
}

async function subscribe(name: string): Promise<Round> {
  await posthorn.client.createSubscriber({ name, externalId: name });
  const endpoint = async (path: string, eventTypes: string[]) => {
    const { id, secret } = await posthorn.client.createEndpoint(name, {
      url: receiver.url(path),
      eventTypes,
    });
    return { id, secret, path };
  };
  return {
    all: await endpoint(`/ok/${name}`, ['*']),
    pulls: await endpoint(`/ok/${name}-pulls`, ['github.pull_request']),
    flaky: await endpoint(`/fail-every/3/${name}`, ['github.*']),
  };
}

async function publish(subscriber: string, { type, data }: Example): Promise<string> {
  const { status, body } = await posthorn.client.request<{ id: string }>(
    'POST',
    '/v1/events',
    `{"subscriber":"${subscriber}","type":"${type}","data":${data}}`,
  );
  expect(status).toBe(202);
  return body.id;
}

/** Brings waiting retries forward, again and again, until nothing of this round is pending. */
async function settle(round: Round, events: number): Promise<void> {
  const endpoints = [round.all.id, round.pulls.id, round.flaky.id];
  for (const deadline = Date.now() + 120_000; ;) {
    const pending: Delivery[] = [];
    for (const endpoint of endpoints)
      pending.push(
        ...(await posthorn.client.all<Delivery>(
          `/v1/deliveries?status=pending&endpoint=${endpoint}&limit=250`,
        )),
      );
    if (pending.length === 0) break;
    if (Date.now() > deadline)
      throw new Error(
        `${pending.length} of ${events} events are pending: ${JSON.stringify(pending.slice(0, 3))}`,
      );
    // Only those that wait for a while yet: one that is delivered meanwhile would be sent again, as asked.
    for (const { id, nextAttempt } of pending)
      if (nextAttempt && Date.parse(nextAttempt.at) > Date.now() + 1000)
        await posthorn.client.request('POST', `/v1/deliveries/${id}/resend`);
  }
}

function byDelivery(journal: JournalEntry[]): Map<string, JournalEntry[]> {
  return Map.groupBy(journal, (entry) => entry.headers['posthorn-delivery'] as string);
}

function checkArrivals(journal: JournalEntry[], round: Round, ids: Map<string, Example>): void {
  const arrived = (path: string): Set<unknown> =>
    new Set(
      journal
        .filter((entry) => entry.path === path && entry.answer === '200')
        .map((entry) => entry.headers['webhook-id']),
    );
  const pulls = [...ids].filter(([, example]) => example.type === 'github.pull_request').map(([id]) => id);
  expect(pulls.length).toBeGreaterThan(5);
  expect(arrived(round.all.path)).toEqual(new Set(ids.keys()));
  expect(arrived(round.pulls.path)).toEqual(new Set(pulls));
  expect(arrived(round.flaky.path)).toEqual(new Set(ids.keys()));

  const secrets = new Map(
    Object.values(round).map((endpoint: Round['all']) => [endpoint.path, endpoint.secret]),
  );
  for (const entry of journal) {
    const body = entry.body.toString();
    new Webhook(secrets.get(entry.path)!).verify(body, entry.headers as Record<string, string>);
    const { type, data } = ids.get(entry.headers['webhook-id'] as string)!;
    expect(body).toContain(`"type":"${type}"`);
    expect(sha256(body.slice(body.indexOf(',"data":') + 8, -1))).toBe(sha256(data));
  }
  // A repeat is the same request: same id, same bytes.
  for (const entries of byDelivery(journal).values()) {
    expect(new Set(entries.map((entry) => entry.headers['webhook-id'])).size).toBe(1);
    expect(new Set(entries.map((entry) => sha256(entry.body))).size).toBe(1);
  }
}

/** As support staff would look at them, for a sample. */
async function checkTimelines(): Promise<void> {
  const { data } = await posthorn.client.get<{ data: { id: string }[] }>(
    '/v1/deliveries?status=delivered&limit=50',
  );
  expect(data).toHaveLength(50);
  for (const { id } of data) {
    const delivery = (await posthorn.client.delivery(id)) as unknown as Delivery;
    expect(delivery.timeline.map((attempt) => attempt.n)).toEqual(delivery.timeline.map((_, at) => at + 1));
    expect(delivery.timeline.at(-1)!.status).toBe('delivered');
    expect(delivery.attempts).toBe(delivery.timeline.length);
  }
}

async function expectDoctorClean(): Promise<void> {
  // The test database is not durable, and says so; that is not what is asked here.
  const { output } = await runCli(['doctor', '--json'], {
    DATABASE_URL: posthorn.databaseUrl,
    DANGEROUS_ALLOW_LOSSY_DATABASE: 'true',
  });
  const report = JSON.parse(output) as { checks: { name: string; ok: boolean }[] };
  expect(report.checks.length).toBeGreaterThan(8);
  expect(report.checks.filter((check) => !check.ok)).toEqual([]);
}
