/**
 * An ordering key is being left while somebody publishes into it; whose turn is it then?
 *
 *   promoter                               publisher                        second promoter
 *   reads the lane: it holds nothing
 *                                          T1: enters the key, held by 1
 *   locks the ready key
 *                                                                           told by T1: finds the key locked, leaves it
 *   finds its head, which is held
 *
 * Proves: the first one promotes it. By the lane that it has read there is no room for it, and nobody else comes: it would stand
 * until the loop's next second. Real: PostgreSQL, AcceptEvents, KeepLanes. No pump, so that nobody else promotes.
 */
import { orderingRepository } from '@app/persistence';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { Boundary } from './boundary-fixture.js';

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ workers: 2, still: true });
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => boundary.close());

it('is promoted by who has it locked', async () => {
  const customer = await boundary.customer({ ordered: true });
  const { endpointId, subscriberId } = customer;
  const [first, second] = boundary.workers;
  await boundary.database.query(
    `INSERT INTO ordering_keys (endpoint_id, subscriber_id, key, state) VALUES ($1, $2, 'k', 'ready')`,
    [endpointId, subscriberId],
  );
  let published: string[] = [];
  const { pickReady, heads } = orderingRepository;
  vi.spyOn(orderingRepository, 'pickReady').mockImplementationOnce(async (...asked) => {
    published = await boundary.publish(customer, 1, { orderingKey: 'k' });
    expect(await boundary.counts(customer)).toEqual({ held: 1 });
    return pickReady(...asked);
  });
  let bySecond: number | null = null;
  vi.spyOn(orderingRepository, 'heads').mockImplementationOnce(async (...asked) => {
    bySecond = await second.lanes.promote([endpointId]);
    return heads(...asked);
  });

  const byFirst = await first.lanes.promote([endpointId]);

  expect({ byFirst, bySecond }).toEqual({ byFirst: 1, bySecond: 0 });
  expect(await boundary.counts(customer)).toEqual({ queued: 1 });
  expect(await boundary.lane(customer)).toMatchObject({ queued: 1, held: 0 });
  expect(await boundary.keys(customer)).toEqual([{ key: 'k', state: 'busy', delivery_id: published[0] }]);
  await boundary.proveAll();
});
