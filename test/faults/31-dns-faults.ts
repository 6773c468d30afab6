/**
 * Names that do not exist, servers that fail, refuse, or say nothing, and answers of 500 addresses: each has its class and is
 * over within 5 s; and fifty names without an answer keep nobody else waiting.
 */
import { ONE_TRY, judgeCases, subscribeCases, type Case } from './cases.js';
import { NOISE_MS, slowestOf } from './bystander.js';
import { fine, startHostileServer } from './hostile-server.js';
import { startNameServer, type NameAnswer, type Zone } from './name-server.js';
import type { FaultRow } from './fault-row.js';

const SILENT_NAMES = 50;
const DNS_MS_MAX = 5_700;
// Twice as many are answered; the first is the receiver's.
const MANY = ['127.0.0.1', ...Array.from({ length: 249 }, (_, n) => `127.0.1.${n + 1}`)];

export const row: FaultRow = {
  row: 31,
  name: 'dns-faults',
  quick: true,
  async run(context) {
    const server = await startHostileServer(context, { behaviours: { fine } });
    const here: NameAnswer = { addresses: ['127.0.0.1'] };
    const none: NameAnswer = { addresses: [] };
    const v4 = (answer: NameAnswer) => (type: 'A' | 'AAAA') => (type === 'A' ? answer : none);
    const both = (answer: NameAnswer) => () => answer;
    const zone: Record<string, Zone[string]> = {
      'ok.test': v4(here),
      'nobody.test': both({ code: 'NXDOMAIN' }),
      'empty.test': both(none),
      'broken.test': both({ code: 'SERVFAIL' }),
      'refusing.test': both({ code: 'REFUSED' }),
      'silent.test': both('silence'),
      'slow.test': v4({ addresses: ['127.0.0.1'], afterMs: 1500 }),
      'lame.test': (type) => (type === 'A' ? here : 'silence'),
      'many.test': v4({ addresses: [...MANY, ...MANY] }),
    };
    const of = (name: string, expected: Omit<Case, 'url'>): Case => ({
      url: `http://${name}.test:${server.port}/fine`,
      ...expected,
    });
    const once = { attempts: 1, endpoint: { retryPolicy: ONE_TRY } };
    const inTime = [0, DNS_MS_MAX] as const;
    const cases: Record<string, Case> = {
      ok: of('ok', { failure: null }),
      nobody: of('nobody', { failure: 'dns_nxdomain' }),
      empty: of('empty', { failure: 'dns_nxdomain' }),
      broken: of('broken', { failure: 'dns_servfail' }),
      refusing: of('refusing', { failure: 'dns_servfail' }),
      silent: of('silent', { failure: 'dns_timeout', tookMs: inTime, ...once }),
      slow: of('slow', { failure: null, tookMs: [1400, DNS_MS_MAX] }),
      // Its other record type is never answered: the name is good all the same.
      lame: of('lame', { failure: null, tookMs: inTime }),
      many: of('many', { failure: null, tookMs: inTime }),
    };
    for (let n = 0; n < SILENT_NAMES; n++) {
      zone[`silent${n}.test`] = both('silence');
      cases[`silent${n}`] = of(`silent${n}`, { failure: 'dns_timeout', tookMs: inTime, ...once });
    }
    const names = await startNameServer(context, zone);
    await context.startApi();
    const [literal] = await context.subscribe([server.url('/fine/literal')], 'by-address');
    const [named] = await context.subscribe([`http://ok.test:${server.port}/fine/named`], 'by-name');
    const endpoints = await subscribeCases(context, cases);
    await context.startWorker(names.options);

    const accepted: string[] = [];
    const bystanders = [
      { subscriber: 'by-address', endpoint: literal },
      { subscriber: 'by-name', endpoint: named },
    ];
    const slowest = async (): Promise<number[]> =>
      Promise.all(bystanders.map((bystander) => slowestOf(context, bystander, 20, accepted)));
    await slowest();
    const before = await slowest();
    accepted.push(...(await context.publishMany(1)));
    await context.until('the silent names are asked for', () => names.questions.has('A silent9.test'));
    const during = await slowest();
    const { stillSilent } = await context.tables.row<{ stillSilent: number }>(
      `SELECT count(*)::int AS "stillSilent" FROM deliveries WHERE status = 'pending'`,
    );
    await context.settled();

    const { attempts, slowestMs, lateMsMax } = await judgeCases(context, cases, endpoints);
    context.check(
      stillSilent >= SILENT_NAMES,
      'the silence was over before the others were measured',
      stillSilent,
    );
    for (const at of bystanders.keys())
      context.check(
        during[at] <= Math.max(2 * before[at], NOISE_MS),
        `${bystanders[at].subscriber}: the slowest rose from ${before[at]} to ${during[at]} ms`,
      );
    context.check(names.overTcp > 0, 'the long answer was not fetched over TCP');
    const figures = await context.invariants({ accepted });
    const [byAddressMsDuring, byNameMsDuring] = during;
    return {
      ...figures,
      attempts,
      slowestMs,
      retryLateMsMax: lateMsMax,
      othersMsBefore: Math.max(...before),
      byAddressMsDuring,
      byNameMsDuring,
    };
  },
};
