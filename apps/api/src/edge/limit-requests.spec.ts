import { loadConfig } from '@app/config';
import { Problem } from '@app/contracts';
import { Metrics } from '@app/observability';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { describe, expect, it } from 'vitest';
import type { Caller } from './caller.js';
import { LimitRequests } from './limit-requests.js';
import type { LimitAsk } from './request-limits.js';

const MINUTE_MS = 60_000;

describe('a key in use', () => {
  it('stays known by its last use, not its first: others at its address cannot lock it out', async () => {
    let now = 0;
    let exhausted = false;
    const limits = {
      take: (asks: LimitAsk[]) =>
        Promise.resolve(
          asks.map(({ policy }) => ({ policy, allowed: !exhausted, remaining: 0, resetSeconds: 30 })),
        ),
      giveBack: () => {},
    };
    const limit = new LimitRequests(loadConfig({}), limits, new Metrics(), () => now);
    const reply = { headers: () => reply } as unknown as FastifyReply;
    const request = {
      headers: { authorization: 'Bearer x' },
      ip: '192.0.2.1',
      socket: {},
    } as unknown as FastifyRequest;
    const ask = () => limit.authenticate(request, reply, () => Promise.resolve({} as Caller));

    await ask();
    exhausted = true;
    for (; now < 60 * MINUTE_MS; now += 5 * MINUTE_MS) await ask();
    now += 11 * MINUTE_MS;
    await expect(ask()).rejects.toBeInstanceOf(Problem);
  });
});
