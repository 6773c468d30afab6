import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Pool, request } from 'undici';
import { startReceiver, type Receiver } from './receiver.js';

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver({ seed: 7 });
});
afterAll(() => receiver.stop());
beforeEach(() => receiver.reset());

const post = async (path: string, id = 'evt_1', body = '{}') => {
  const answer = await request(receiver.url(path), { method: 'POST', headers: { 'webhook-id': id }, body });
  return {
    status: answer.statusCode,
    headers: answer.headers,
    body: Buffer.from(await answer.body.arrayBuffer()),
  };
};
const statuses = async (path: string, ids: string[]) => {
  const seen: number[] = [];
  for (const id of ids) seen.push((await post(path, id)).status);
  return seen;
};

describe('the journal', () => {
  it('has path, headers, the raw bytes and both clocks', async () => {
    const before = Date.now();
    await post('/ok/a?b=c', 'evt_9', '{"a": 1.0,\u0000"é"}');
    const [entry] = await receiver.journal();
    expect(entry).toMatchObject({ n: 1, method: 'POST', path: '/ok/a?b=c', complete: true, answer: '200' });
    expect(entry.headers['webhook-id']).toBe('evt_9');
    expect(entry.body.equals(Buffer.from('{"a": 1.0,\u0000"é"}'))).toBe(true);
    expect(entry.epochMs).toBeGreaterThanOrEqual(before);
    expect(entry.epochMs).toBeLessThanOrEqual(Date.now());
    expect(entry.monotonicMs).toBeLessThanOrEqual(Number(process.hrtime.bigint()) / 1e6);
  });

  it('finds by path and id, and forgets at reset', async () => {
    await post('/ok/a', 'evt_1');
    await post('/ok/b', 'evt_1');
    await post('/ok/b', 'evt_2');
    expect(await receiver.journal({ path: '/ok/b', webhookId: 'evt_1' })).toHaveLength(1);
    await receiver.reset();
    expect(await receiver.journal()).toEqual([]);
  });

  it('has a request whose sender went away', async () => {
    const socket = connect(receiver.port, '127.0.0.1');
    socket.write('POST /ok HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf', () => socket.end());
    const [entry] = await receiver.waitFor(1);
    expect(entry).toMatchObject({ complete: false, answer: 'none' });
    expect(entry.body.toString()).toBe('half');
  });
});

describe('waitFor', () => {
  it('is woken by the request that completes it, for each of several waiters', async () => {
    const both = [receiver.waitFor(3), receiver.waitFor((all) => all.some((each) => each.path === '/ok/c'))];
    for (const path of ['/ok/a', '/ok/b', '/ok/c']) await post(path);
    for (const entries of await Promise.all(both)) expect(entries.map((each) => each.n)).toEqual([1, 2, 3]);
  });

  it('says what came instead', async () => {
    await post('/500');
    await expect(receiver.waitFor(2, { timeoutMs: 50 })).rejects.toThrow(
      /2 requests .* 1 did: POST \/500 → 500/,
    );
  });
});

describe('answers', () => {
  it.each([
    ['/ok', 200],
    ['/500', 500],
    ['/status/418', 418],
    ['/status/204', 204],
    ['/503/endpoint-7', 503],
    ['/410', 410],
    ['/unknown', 404],
    ['/status/many', 501],
  ])('%s with %d', async (path, status) => expect((await post(path)).status).toBe(status));

  it('redirects and asks for patience', async () => {
    expect(await post('/302?to=http://10.0.0.1/')).toMatchObject({
      status: 302,
      headers: { location: 'http://10.0.0.1/' },
    });
    expect(await post('/429/17')).toMatchObject({ status: 429, headers: { 'retry-after': '17' } });
  });

  it('fails every n-th request of a path', async () => {
    expect(await statuses('/fail-every/3/a', ['1', '2', '3', '4', '5', '6'])).toEqual([
      200, 200, 500, 200, 200, 500,
    ]);
    expect(await statuses('/fail-every/3/b', ['7'])).toEqual([200]);
  });

  it('fails the first n of each event', async () => {
    expect(await statuses('/fail-first/2', ['a', 'b', 'a', 'a', 'b', 'b'])).toEqual([
      500, 500, 500, 200, 500, 200,
    ]);
  });

  it('is flaky in a way that repeats', async () => {
    const run = async () => {
      const again = await startReceiver({ seed: 3 });
      const seen: number[] = [];
      for (let i = 0; i < 40; i++) seen.push((await request(again.url('/flaky/0.5'))).statusCode);
      await again.stop();
      return seen;
    };
    const first = await run();
    expect(new Set(first)).toEqual(new Set([200, 500]));
    expect(await run()).toEqual(first);
  });

  it('sends large, unstorable and oversized answers', async () => {
    expect((await post('/big/3000000')).body).toHaveLength(3_000_000);
    expect((await post('/nul')).body).toContain(0);
    expect((await post('/gzipbomb')).headers['content-encoding']).toBe('gzip');
    await expect(post('/headers-big')).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_OVERFLOW' });
  });
});

describe('misbehaves', () => {
  it.each([
    ['/rst', 'ECONNRESET'],
    ['/close-mid-body', 'UND_ERR_SOCKET'],
  ])('%s', async (path, code) => {
    await expect(post(path)).rejects.toMatchObject({ code });
    expect(await receiver.waitFor(1)).toHaveLength(1);
  });

  it.each(['/hang', '/drip/5', '/1xx'])('%s until the sender gives up', async (path) => {
    const abort = AbortSignal.timeout(300);
    const exchange = request(receiver.url(path), { method: 'POST', signal: abort }).then((answer) =>
      answer.body.text(),
    );
    await expect(exchange).rejects.toThrow();
    expect(await receiver.waitFor(1)).toHaveLength(1);
  });

  it('/slow answers late', async () => {
    const startedAt = performance.now();
    expect((await post('/slow/120')).status).toBe(200);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119);
  });
});

it('counts in bench mode', async () => {
  const counting = await startReceiver({ mode: 'count' });
  const pool = new Pool(counting.url(''), { connections: 8 });
  const send = (path: string, id: string) =>
    pool
      .request({ path, method: 'POST', headers: { 'webhook-id': id }, body: 'abc' })
      .then(({ body }) => body.dump());
  const complete = counting.waitForDistinct(201, 10_000);
  await Promise.all(Array.from({ length: 200 }, (_, i) => send('/ok/a', `evt_${i}`)));
  await send('/ok/a', 'evt_0');
  await send('/ok/b', 'evt_0');
  expect(await complete).toMatchObject({ requests: 202, distinct: 201, bodyBytes: 606 });
  const { ids, monotonicMs } = await counting.arrivals();
  expect(new Set(ids).size).toBe(200);
  expect(monotonicMs).toHaveLength(202);
  await counting.reset();
  expect(await counting.counts()).toMatchObject({ requests: 0, distinct: 0, firstMonotonicMs: null });
  await pool.close();
  await counting.stop();
});

it('ends with the process that started it', async () => {
  const short = await startReceiver();
  await short.stop();
  expect(() => process.kill(short.pid, 0)).toThrow(/ESRCH/);
});
