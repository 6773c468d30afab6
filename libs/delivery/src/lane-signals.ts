import {
  newId,
  observe,
  toPublicId,
  type LaneSignal,
  type LaneState,
  type LaneTransition,
  type Random,
} from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import {
  endpointsRepository,
  laneStateRepository,
  noticesRepository,
  type Database,
  type LockedLane,
  type NewLaneTransition,
  type NewNotice,
  type Tx,
} from '@app/persistence';

/** What one endpoint's attempts said of it, in the order in which they ended. */
export interface EndpointSignals {
  endpointId: string;
  signals: LaneSignal[];
  /** The endpoint is to be disabled whatever its lane thinks: the receiver said so. */
  disable: string | null;
}

/** Why an endpoint was disabled by us, as people read it. */
const DISABLED_TEXTS = {
  gone_410: 'gone_410: the receiver answered 410 Gone.',
  receiver_asked: 'receiver_asked: the receiver asked for it with webhook-delivery: disable.',
  failing_too_long: 'failing_too_long: nothing but failures for longer than its autoDisable allows.',
} as const;
export type DisabledBecause = keyof typeof DISABLED_TEXTS;

/**
 * Tells lanes what T2 has just recorded: window, circuit, the way to being disabled. A transaction of its own: the state
 * machine runs under the lanes' locks, and T2 holds those only while the server commits. A crash in between loses what one
 * group said about its receivers, and no delivery.
 */
export class LaneSignals {
  constructor(
    private readonly database: Database,
    private readonly random: Random,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    private readonly options: { operational: boolean },
  ) {}

  async apply(endpoints: EndpointSignals[]): Promise<void> {
    const made = await this.database.hotTransaction((tx) => this.applyTo(tx, endpoints));
    for (const transition of made) tellTransition(this.metrics, this.logger, transition);
  }

  private async applyTo(tx: Tx, endpoints: EndpointSignals[]): Promise<NewLaneTransition[]> {
    const byId = new Map(endpoints.map((endpoint) => [endpoint.endpointId, endpoint]));
    const lanes = await laneStateRepository.lock(tx, [...byId.keys()]);
    const transitions: NewLaneTransition[] = [];
    const disabled: { lane: LockedLane; because: string }[] = [];
    const moved = lanes.map((lane) => {
      const { signals, disable } = byId.get(lane.endpointId)!;
      const steps = this.stepsOf(lane, signals);
      for (const transition of steps.transitions)
        transitions.push({
          id: newId(lane.now.getTime(), this.random),
          subscriberId: lane.subscriberId,
          endpointId: lane.endpointId,
          at: lane.now,
          transition,
        });
      const tooLong = steps.transitions.find((transition) => transition.kind === 'disabled');
      const because = disable ?? tooLong?.reason;
      if (because) disabled.push({ lane, because });
      if (disable)
        transitions.push({
          id: newId(lane.now.getTime(), this.random),
          subscriberId: lane.subscriberId,
          endpointId: lane.endpointId,
          at: lane.now,
          transition: { kind: 'disabled', reason: disable } as unknown as LaneTransition,
        });
      return { ...lane, state: steps.state };
    });
    await laneStateRepository.write(tx, moved);
    await laneStateRepository.addTransitions(tx, transitions);
    for (const { lane, because } of disabled)
      await endpointsRepository.setDisabled(tx, lane.subscriberId, lane.endpointId, {
        reason: DISABLED_TEXTS[because as DisabledBecause] ?? because,
      });
    const notices = this.options.operational ? noticesOf(transitions, this.random) : [];
    if (notices.length > 0) await noticesRepository.add(tx, notices);
    return transitions;
  }

  private stepsOf(
    lane: LockedLane,
    signals: LaneSignal[],
  ): { state: LaneState; transitions: LaneTransition[] } {
    let { state } = lane;
    const transitions: LaneTransition[] = [];
    // By the database's clock: open times are compared with it, and workers' clocks differ.
    for (const signal of signals) {
      const step = observe(state, { ...signal, at: lane.now }, lane.policy, this.random);
      state = step.state;
      transitions.push(...step.transitions);
    }
    return { state, transitions };
  }
}

/** One line and one count for what happened to a lane, after its commit. */
export function tellTransition(
  metrics: Metrics,
  logger: Logger,
  { endpointId, transition: { kind, ...detail } }: NewLaneTransition,
): void {
  metrics.laneTransitions.inc({ kind });
  logger.info({ endpoint: toPublicId('ep', endpointId), kind, detail }, 'lane.changed');
}

const NOTICED = {
  failing: 'endpoint.failing',
  disabled: 'endpoint.disabled',
  recovered: 'endpoint.recovered',
} as const;

function noticesOf(transitions: NewLaneTransition[], random: Random): NewNotice[] {
  return transitions.flatMap(({ subscriberId, endpointId, at, transition: { kind, ...detail } }) => {
    if (!Object.hasOwn(NOTICED, kind)) return [];
    const notice: NewNotice = {
      id: newId(at.getTime(), random),
      subscriberId,
      endpointId,
      kind: NOTICED[kind as keyof typeof NOTICED],
      deliveryId: null,
      detail,
    };
    return [notice];
  });
}
