import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Parking, type ClaimedTicket } from './parking.js';

const ticket = (endpointId: string, n: number): ClaimedTicket => ({
  deliveryId: `${endpointId}${n}`,
  endpointId,
  retryCount: 0,
  of: 'normal',
  claimedAtMs: 0,
});
const lot = (perEndpointMax: number) => new Parking({ slots: 1000, perEndpointMax, perHostMax: 1000 });
const many = (endpointId: string, count: number) =>
  Array.from({ length: count }, (_, n) => ticket(endpointId, n));

describe('Parking', () => {
  it('gives each endpoint its slots in turn, and leaves out the one that is full', () => {
    const parking = lot(2);
    parking.add([...many('a', 5), ...many('b', 1)]);
    expect(parking.takeStartable(10).map((each) => each.deliveryId)).toEqual(['a0', 'b0', 'a1']);
    expect(parking.saturated()).toEqual(['a']);
    expect(parking.takeStartable(10)).toEqual([]);
    parking.leave('a');
    expect(parking.takeStartable(10).map((each) => each.deliveryId)).toEqual(['a2']);
  });

  it('puts back what could not be started, in its turn', () => {
    const parking = lot(2);
    parking.add(many('a', 4));
    parking.putBack(parking.takeStartable(2));
    expect(parking.takeStartable(9).map((each) => each.deliveryId)).toEqual(['a0', 'a1']);
  });

  it('drops tickets whose claim was lost', () => {
    const parking = lot(1);
    const all = many('a', 3);
    parking.add(all);
    expect(parking.dropExcept(all, new Set(['a1'])).map((each) => each.deliveryId)).toEqual(['a0', 'a2']);
    expect(parking.takeAll().map((each) => each.deliveryId)).toEqual(['a1']);
    expect(parking.size).toBe(0);
  });

  it('never starts more of an endpoint than it has slots, and loses none', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(
          fc.oneof(
            fc.record({ add: fc.constantFrom('a', 'b', 'c') }),
            fc.record({ take: fc.nat(6) }),
            fc.record({ leave: fc.constantFrom('a', 'b', 'c') }),
          ),
        ),
        (max, steps) => {
          const parking = lot(max);
          const running = new Map<string, number>();
          let added = 0;
          let started = 0;
          for (const step of steps) {
            if ('add' in step) parking.add([ticket(step.add, added++)]);
            else if ('take' in step)
              for (const each of parking.takeStartable(step.take)) {
                started++;
                running.set(each.endpointId, (running.get(each.endpointId) ?? 0) + 1);
              }
            else if ((running.get(step.leave) ?? 0) > 0) {
              running.set(step.leave, running.get(step.leave)! - 1);
              parking.leave(step.leave);
            }
            for (const count of running.values()) expect(count).toBeLessThanOrEqual(max);
            expect(parking.size).toBe(added - started);
          }
        },
      ),
    );
  });

  it('lets first attempts pass by retries that have no room, and claims more of them', () => {
    const parking = lot(10);
    const retries = many('a', 3).map((each) => ({
      ...each,
      deliveryId: `retry ${each.deliveryId}`,
      of: 'retry' as const,
    }));
    parking.add(retries);
    expect(parking.takeStartable(10, 0)).toEqual([]);
    // Others' retries take all room there is for retries: this endpoint's first attempts are claimed all the same.
    expect(parking.saturated()).toEqual([]);
    parking.add(many('a', 2));
    expect(parking.takeStartable(10, 0).map((each) => each.deliveryId)).toEqual(['a0', 'a1']);
    expect(parking.takeStartable(10, 2).map((each) => each.deliveryId)).toEqual(['retry a0', 'retry a1']);
    expect(parking.size).toBe(1);
  });

  it('lets critical ones pass by others when only they have room, and claims more of them', () => {
    const parking = lot(10);
    const critical = { ...ticket('a', 9), deliveryId: 'critical a', of: 'critical' as const };
    parking.add([...many('a', 2), { ...ticket('b', 0), of: 'retry' }]);
    expect(parking.takeStartable(10, 10, 0)).toEqual([]);
    // a has others here that wait for a slot of theirs: a critical one would not.
    expect(parking.saturated()).toEqual(['a']);
    expect(parking.saturatedForCritical()).toEqual([]);
    parking.add([critical, { ...critical, deliveryId: 'another critical a' }]);
    expect(parking.takeStartable(1, 10, 0)).toEqual([critical]);
    expect(parking.saturatedForCritical()).toEqual(['a']);
    expect(parking.takeStartable(10, 10, 1).map((each) => each.deliveryId)).toEqual([
      'a0',
      'another critical a',
    ]);
    expect(parking.takeStartable(10, 10, 10).map((each) => each.deliveryId)).toEqual(['a1', 'b0']);
    expect(parking.size).toBe(0);
  });

  it('never gives a host more than it may have, whoever its endpoints belong to', () => {
    const parking = new Parking({ slots: 1000, perEndpointMax: 8, perHostMax: 10 });
    for (const endpointId of ['a', 'b', 'c'])
      parking.tag(endpointId, { subscriberId: `of ${endpointId}`, host: 'shared.test:443', window: 100 });
    parking.add([...many('a', 20), ...many('b', 20), ...many('c', 20), ...many('d', 20)]);
    const taken = parking.takeStartable(1000);
    const of = (...endpoints: string[]) => taken.filter((each) => endpoints.includes(each.endpointId)).length;
    expect(of('a', 'b', 'c')).toBe(10);
    expect(of('d')).toBe(8);
    // d turns out to be there too, by its row: that is one too many.
    expect(parking.tag('d', { subscriberId: 'of d', host: 'shared.test:443', window: 100 })).toBe(
      'host_is_full',
    );
  });

  it('keeps to a lane’s window, and to what a subscriber may have of what is free', () => {
    const parking = new Parking({ slots: 100, perEndpointMax: 50, perHostMax: 1000 });
    parking.tag('a', { subscriberId: 's', host: 'a.test', window: 3 });
    parking.add(many('a', 20));
    expect(parking.takeStartable(100)).toHaveLength(3);
    for (let n = 0; n < 200; n++) {
      parking.tag(`b${n}`, { subscriberId: 's', host: `b${n}.test`, window: 100 });
      parking.add([ticket(`b${n}`, 0)]);
    }
    parking.takeStartable(100);
    expect(parking.freeSlots).toBeGreaterThan(0);
    parking.add([ticket('another', 0)]);
    expect(parking.takeStartable(100).map((each) => each.endpointId)).toEqual(['another']);
  });

  /** Each hangs with an endless backlog, all at once or one after the other: then the first takes all it can get. */
  it('always has a free slot for one more endpoint, however many hang', () => {
    const any = { slots: fc.integer({ min: 2, max: 256 }), more: fc.nat(255), together: fc.boolean() };
    fc.assert(
      fc.property(fc.record(any), ({ slots, more, together }) => {
        // Together, as many as there are slots but one; one after the other, as many as slots are kept for newcomers.
        const most = together ? slots - 1 : Math.max(1, Math.floor(slots / 8));
        const hanging = 1 + (more % most);
        const parking = new Parking({ slots, perEndpointMax: slots, perHostMax: slots });
        for (let n = 0; n < hanging; n++) {
          parking.add(many(`hangs ${n}`, slots));
          if (!together) parking.takeStartable(slots);
        }
        parking.takeStartable(slots);
        expect(parking.freeSlots).toBeGreaterThan(0);
        parking.add([ticket('healthy', 0)]);
        expect(parking.takeStartable(slots).map((each) => each.endpointId)).toEqual(['healthy']);
      }),
    );
  });

  it('counts nothing when all has ended, whatever was put back, lost or tagged anew in between', () => {
    const endpoint = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), endpoint, retry: fc.boolean() }),
      fc.record({ kind: fc.constant('take' as const), n: fc.nat(6), retries: fc.nat(3) }),
      fc.record({ kind: fc.constant('putBack' as const), n: fc.nat(3) }),
      fc.record({ kind: fc.constant('leave' as const), n: fc.nat(3) }),
      fc.record({ kind: fc.constant('lose' as const), endpoint }),
      fc.record({
        kind: fc.constant('tag' as const),
        endpoint,
        host: fc.constantFrom('x', 'y'),
        window: fc.nat(5),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const parking = new Parking({ slots: 12, perEndpointMax: 6, perHostMax: 5 });
        const running: ReturnType<typeof parking.takeStartable> = [];
        let waiting = 0;
        for (const [at, each] of steps.entries()) {
          if (each.kind === 'add') {
            parking.add([{ ...ticket(each.endpoint, at), of: each.retry ? 'retry' : 'normal' }]);
            waiting++;
          } else if (each.kind === 'take') {
            const taken = parking.takeStartable(Math.min(each.n, parking.freeSlots), each.retries);
            expect(taken.filter(({ of }) => of === 'retry').length).toBeLessThanOrEqual(each.retries);
            running.push(...taken);
            waiting -= taken.length;
          } else if (each.kind === 'putBack') {
            const back = running.splice(0, each.n);
            parking.putBack(back);
            waiting += back.length;
          } else if (each.kind === 'leave')
            for (const gone of running.splice(0, each.n)) parking.leave(gone.endpointId);
          else if (each.kind === 'lose') {
            const asked = parking.takeAll();
            parking.add(asked);
            const ours = new Set(
              asked
                .filter(({ endpointId }) => endpointId !== each.endpoint)
                .map(({ deliveryId }) => deliveryId),
            );
            waiting -= parking.dropExcept(asked, ours).length;
          } else
            parking.tag(each.endpoint, {
              subscriberId: `of ${each.endpoint}`,
              host: each.host,
              window: each.window,
            });
          expect(parking.size).toBe(waiting);
          expect(parking.underWayCount).toBe(running.length);
          expect(parking.freeSlots).toBe(12 - running.length);
        }
        for (const { endpointId } of running) parking.leave(endpointId);
        parking.takeAll();
        expect(parking.freeSlots).toBe(12);
        // Every map of counts is empty: a host takes its whole share again, whoever had it before.
        for (const endpointId of ['a', 'b', 'c', 'd'])
          parking.tag(endpointId, { subscriberId: `of ${endpointId}`, host: 'z', window: 100 });
        parking.add(['a', 'b', 'c', 'd'].flatMap((endpointId) => many(endpointId, 12)));
        expect(parking.takeStartable(12)).toHaveLength(5);
      }),
    );
  });
});
