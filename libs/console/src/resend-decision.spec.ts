import type { LockedDelivery } from '@app/persistence';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideResend, type TicketState } from './resend-decision.js';

const delivery = (overrides: Partial<LockedDelivery>): LockedDelivery => ({
  id: 'd',
  subscriberId: 's',
  endpointId: 'e',
  status: 'pending',
  place: 'queued',
  due: true,
  updatedAt: new Date(0),
  stopped: null,
  closed: null,
  critical: false,
  orderingKey: null,
  stored: true,
  ...overrides,
});

describe('decideResend', () => {
  it.each<[string, Partial<LockedDelivery>, TicketState, object]>([
    ['failed', { status: 'failed', place: null }, 'none', { kind: 'start_again' }],
    ['delivered', { status: 'delivered', place: null }, 'none', { kind: 'start_again' }],
    ['cancelled while claimed', { status: 'cancelled', place: null }, 'claimed', { kind: 'start_again' }],
    [
      'waiting for later',
      { place: 'waiting', due: false },
      'unclaimed',
      { kind: 'bring_forward', place: 'waiting' },
    ],
    ['queued for later', { due: false }, 'unclaimed', { kind: 'bring_forward', place: 'queued' }],
    ['due', {}, 'unclaimed', { kind: 'leave', because: 'due' }],
    ['without its ticket', {}, 'none', { kind: 'bring_forward', place: 'queued' }],
    ['claimed', {}, 'claimed', { kind: 'leave', because: 'in_flight' }],
    [
      'claimed, endpoint stopped since',
      { stopped: 'endpoint_disabled' },
      'claimed',
      { kind: 'leave', because: 'in_flight' },
    ],
    ['held in an open lane', { place: 'held' }, 'none', { kind: 'give_place' }],
    [
      'held in a paused lane',
      { place: 'held', closed: 'paused' },
      'none',
      { kind: 'leave', because: 'paused' },
    ],
    [
      'held by a circuit',
      { place: 'held', closed: 'circuit' },
      'none',
      { kind: 'leave', because: 'circuit' },
    ],
    [
      'behind others in order',
      { place: 'held', orderingKey: 'k' },
      'none',
      { kind: 'leave', because: 'order' },
    ],
    [
      'of a disabled endpoint',
      { status: 'failed', place: null, stopped: 'endpoint_disabled' },
      'none',
      { kind: 'refuse' },
    ],
    ['without its event', { status: 'failed', place: null, stored: false }, 'none', { kind: 'refuse' }],
  ])('%s', (_, overrides, ticket, decision) => {
    expect(decideResend(delivery(overrides), ticket)).toMatchObject(decision);
  });

  it('never moves what a worker holds, nor anything towards a stopped endpoint', () => {
    const any = fc.record({
      status: fc.constantFrom<LockedDelivery['status']>('pending', 'delivered', 'failed', 'cancelled'),
      place: fc.constantFrom<LockedDelivery['place']>('queued', 'held', 'waiting'),
      due: fc.boolean(),
      closed: fc.constantFrom<LockedDelivery['closed']>(null, 'paused', 'circuit'),
      stored: fc.boolean(),
      stopped: fc.constantFrom<LockedDelivery['stopped']>(
        null,
        'endpoint_disabled',
        'endpoint_deleted',
        'subscriber_deleted',
      ),
    });
    fc.assert(
      fc.property(any, fc.constantFrom<TicketState>('claimed', 'unclaimed', 'none'), (given, ticket) => {
        const { kind } = decideResend(
          delivery({ ...given, place: given.status === 'pending' ? given.place : null }),
          ticket,
        );
        if (given.status === 'pending' && ticket === 'claimed') expect(kind).toBe('leave');
        else if (given.stopped !== null || !given.stored) expect(kind).toBe('refuse');
      }),
    );
  });
});
