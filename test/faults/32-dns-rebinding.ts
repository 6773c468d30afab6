/**
 * Names that lead to an inner address: alone, beside a good one, as IPv6, mapped, or from the second question on. No socket is
 * ever opened to it. Here 127.0.0.1 is the internet and all else of this machine is the inside.
 */
import { judgeCases, subscribeCases, deliveriesOf, type Case } from './cases.js';
import { answer, fine, startHostileServer } from './hostile-server.js';
import { startNameServer, type Zone } from './name-server.js';
import type { FaultRow } from './fault-row.js';

const INNER = ['127.0.0.2', '::1'];

export const row: FaultRow = {
  row: 32,
  name: 'dns-rebinding',
  quick: true,
  async run(context) {
    const outer = await startHostileServer(context, {
      behaviours: {
        fine,
        // Each try needs a connection, and so a lookup, of its own.
        fails: (socket) => {
          socket.end(answer(500, { connection: 'close' }));
          return '500';
        },
      },
    });
    const inner = await Promise.all(
      INNER.map((host) =>
        startHostileServer(context, { host, port: outer.port, onConnection: (socket) => socket.destroy() }),
      ),
    );
    const bind =
      (v4: readonly string[], v6: readonly string[] = []): Zone[string] =>
      (type) => ({ addresses: type === 'A' ? v4 : v6 });
    const zone: Zone = {
      'good.test': bind(['127.0.0.1']),
      'inner.test': bind(['127.0.0.2']),
      'mixed.test': bind(['127.0.0.1', '127.0.0.2']),
      'mixed-last.test': bind([...Array<string>(9).fill('127.0.0.1'), '127.0.0.2']),
      'zero.test': bind(['0.0.0.0']),
      'v6.test': bind([], ['::1']),
      'mixed-v6.test': bind(['127.0.0.1'], ['::1']),
      'mapped.test': bind([], ['::ffff:127.0.0.2']),
      'nat64.test': bind([], ['64:ff9b::7f00:2']),
      'any-v6.test': bind([], ['::']),
      'rebinding.test': (type, n) => ({
        addresses: type === 'AAAA' ? [] : [n === 1 ? '127.0.0.1' : '127.0.0.2'],
      }),
      'back-and-forth.test': (type, n) => ({
        addresses: type === 'AAAA' ? [] : [n % 2 === 1 ? '127.0.0.1' : '127.0.0.2'],
      }),
    };
    const names = await startNameServer(context, zone);
    const cases: Record<string, Case> = {};
    for (const name of Object.keys(zone)) {
      const isGood = name === 'good.test' || name === 'back-and-forth.test';
      if (name !== 'rebinding.test')
        cases[name] = {
          url: `http://${name}:${outer.port}/fine`,
          failure: isGood ? null : 'blocked_address',
          statusCode: isGood ? 200 : null,
        };
    }
    const env = { POSTHORN_ALLOW_CIDRS: '127.0.0.1/32' };
    await context.startApi({ env });
    const endpoints = await subscribeCases(context, cases);
    const rebinding = await context.client.createEndpoint('c', {
      url: `http://rebinding.test:${outer.port}/fails`,
      retryPolicy: { type: 'fixed', delaySeconds: 1, jitter: 'none', attemptsMax: 4 },
    });
    await context.startWorker({ ...names.options, env: { ...names.options.env, ...env } });
    const accepted = await context.publishMany(1);
    await context.settled();

    const { attempts } = await judgeCases(context, cases, endpoints);
    const [{ timeline, gaveUp }] = await deliveriesOf(context, rebinding.id);
    const classes = timeline.map(({ failure }) => failure).join();
    context.check(
      classes === 'http_5xx,blocked_address' && gaveUp === 'permanent',
      `rebinding: ${classes}, ${gaveUp}`,
    );
    // One lookup for one connection: the address that was judged is the one that was dialled.
    const asked = (name: string): number => names.questions.get(`A ${name}`) ?? 0;
    context.check(
      asked('rebinding.test') === 2 && asked('back-and-forth.test') === 1,
      'a name was asked for twice',
    );
    const innerConnections = inner.reduce((sum, { connections }) => sum + connections, 0);
    context.check(innerConnections === 0, `I8: ${innerConnections} connections to the inside`);
    for (const { failureDetail } of [...timeline])
      context.check(!failureDetail?.includes('127.0.0.2'), 'the inner address is told', failureDetail);
    const figures = await context.invariants({ accepted });
    return {
      ...figures,
      attempts: attempts + timeline.length,
      names: Object.keys(zone).length,
      innerConnections,
    };
  },
};
