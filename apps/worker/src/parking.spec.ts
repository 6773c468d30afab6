import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Parking } from './parking.js';

const ticket = (endpointId: string, n: number) => ({
  deliveryId: `${endpointId}${n}`,
  endpointId,
  retryCount: 0,
  retry: false,
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
});
