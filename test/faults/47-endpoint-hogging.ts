/**
 * One of a customer's twenty endpoints hangs: the nineteen others notice nothing. Then twenty endpoints of somebody else hang
 * at once, with deliveries in front of all others: these drain nearly as fast as without.
 */
import type { RunningProcess } from '../support/processes.js';
import type { FaultRow } from './fault-row.js';
import { checkDrains, checkJourneys, Traffic } from './traffic.js';

const ENDPOINTS = 20;
// Of the worker, unless configured: hanging requests that are under way at the end are on no record yet.
const SLOTS = 256;
const IN_FRONT_OF_EACH = 100;

export const row: FaultRow = {
  row: 47,
  name: 'endpoint-hogging',
  quick: false,
  alone: true,
  async run(context) {
    const size = context.quick
      ? { perSecond: 10, seconds: 3, events: 150, rounds: 1, timeoutSeconds: 2 }
      : { perSecond: 20, seconds: 20, events: 600, rounds: 3, timeoutSeconds: 15 };
    const api = await context.startApi();
    const traffic = await Traffic.start(context, { subscribers: 1, endpointsOfEach: ENDPOINTS });
    const hanging = await context.startReceiver();
    const [slow] = traffic.endpoints;
    const slowPath = '/ok/other0-0';
    const others = (path: string): boolean => path !== slowPath;

    let worker: RunningProcess | undefined;
    const drains = async (): Promise<number[]> => {
      const perSecond: number[] = [];
      for (let round = 0; round < size.rounds; round++) {
        if (worker) await context.stop(worker);
        perSecond.push(
          await traffic.drain(api, size.events, async () => (worker = await context.startWorker()), others),
        );
      }
      return perSecond;
    };
    // A lane that was never used takes less at a time.
    await drains();
    const drainsBefore = await drains();
    const undisturbed = await traffic.paced(api, size.perSecond, size.seconds, others);

    const path = `/v1/subscribers/other0/endpoints/${slow}`;
    const changed = await context.client.request('PATCH', path, {
      url: hanging.url('/hang/slow'),
      timeoutSeconds: size.timeoutSeconds,
    });
    context.check(changed.status === 200, 'the endpoint hangs from now on', changed.body);
    const disturbed = await traffic.paced(api, size.perSecond, size.seconds, others);
    const oneHung = (await hanging.journal()).length;

    await context.stop(worker!);
    await context.subscribe(
      Array.from({ length: ENDPOINTS }, (_, n) => ({
        url: hanging.url(`/hang/${n}`),
        timeoutSeconds: size.timeoutSeconds,
      })),
      'hanging',
    );
    const accepted = await context.publishMany(IN_FRONT_OF_EACH, 'hanging');
    worker = undefined;
    const drainsDuring = await drains();
    const allHung = (await hanging.journal()).length - oneHung;

    context.check(oneHung > 0 && allHung > ENDPOINTS, 'requests hung', { oneHung, allHung });
    checkJourneys(context, undisturbed, disturbed);
    const drainRatio = checkDrains(context, drainsBefore, drainsDuring);
    const figures = await context.invariants({
      accepted: [...traffic.accepted, ...accepted],
      unsettled: true,
      unrecordedMax: SLOTS,
    });
    return {
      ...figures,
      undisturbedP99Ms: undisturbed.typicalP99Ms,
      disturbedP99Ms: disturbed.typicalP99Ms,
      disturbedMsMax: disturbed.maxMs,
      undisturbedPerSecond: Math.max(...drainsBefore),
      disturbedPerSecond: Math.max(...drainsDuring),
      drainRatio,
      requestsThatHung: allHung,
    };
  },
};
