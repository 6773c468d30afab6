import {
  auditChange,
  newId,
  observe,
  probeSoon,
  toPublicId,
  type LaneSignal,
  type LaneStep,
  type LaneTransition,
  type Random,
} from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import {
  auditRepository,
  endpointsRepository,
  laneStateRepository,
  noticesRepository,
  type AuditRecord,
  type Database,
  type LockedLane,
  type NewLaneTransition,
  type NewNotice,
  type Proof,
  type Tx,
} from '@app/persistence';

/** What one endpoint's attempts said of it, in the order in which they ended. */
export interface EndpointSignals {
  endpointId: string;
  subscriberId: string;
  signals: LaneSignal[];
  /** The endpoint is to be disabled whatever its lane thinks: the receiver said so. */
  disable: DisabledBecause | null;
  /** It has proved that it wants deliveries. */
  proof: Proof | null;
  /** A test event got through: somebody has mended something, and the circuit need not wait any longer. */
  tested: boolean;
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
    for (const endpoint of endpoints) if (endpoint.proof) await this.verify(endpoint, endpoint.proof);
    const moved = await this.database.hotTransaction((tx) => this.move(tx, endpoints));
    const ending = moved.filter(({ transition }) => transition.kind === 'disabled');
    for (const entry of moved) if (!ending.includes(entry)) tellTransition(this.metrics, this.logger, entry);
    for (const entry of ending) await this.disable(entry);
  }

  private async move(tx: Tx, endpoints: EndpointSignals[]): Promise<NewLaneTransition[]> {
    const byId = new Map(endpoints.map((endpoint) => [endpoint.endpointId, endpoint]));
    const lanes = await laneStateRepository.lock(tx, [...byId.keys()]);
    const moved: LockedLane[] = [];
    const made: NewLaneTransition[] = [];
    for (const lane of lanes) {
      const steps = this.stepsOf(lane, byId.get(lane.endpointId)!);
      moved.push({ ...lane, state: steps.state });
      for (const transition of steps.transitions) made.push(this.entryOf(lane, transition));
    }
    await laneStateRepository.write(tx, moved);
    await this.keep(
      tx,
      made.filter(({ transition }) => transition.kind !== 'disabled'),
    );
    return made;
  }

  /** By itself: whoever changes an endpoint locks it first and its lane then. */
  private async disable(entry: NewLaneTransition): Promise<void> {
    const { subscriberId, endpointId, transition } = entry;
    if (transition.kind !== 'disabled') return;
    const disabled = { reason: DISABLED_TEXTS[transition.reason] };
    const changed = await this.database.hotTransaction(async (tx) => {
      if (!(await endpointsRepository.setDisabled(tx, subscriberId, endpointId, disabled))) return false;
      await this.keep(tx, [entry]);
      await auditRepository.insert(tx, auditOfDisabling(entry, disabled.reason, this.random));
      return true;
    });
    if (changed) tellTransition(this.metrics, this.logger, entry);
  }

  /** By itself, as well. One that has another URL by now, or wants another proof, has proved nothing. */
  private async verify({ endpointId, subscriberId }: EndpointSignals, proof: Proof): Promise<void> {
    const entry = await this.database.hotTransaction(async (tx) => {
      if (!(await endpointsRepository.setVerified(tx, subscriberId, endpointId, proof))) return null;
      const [lane] = await laneStateRepository.lock(tx, [endpointId]);
      const made = this.entryOf(lane, { kind: 'verified', by: proof.by });
      await this.keep(tx, [made]);
      return made;
    });
    if (entry) tellTransition(this.metrics, this.logger, entry);
  }

  private async keep(tx: Tx, entries: NewLaneTransition[]): Promise<void> {
    await laneStateRepository.addTransitions(tx, entries);
    const notices = this.options.operational ? noticesOf(entries, this.random) : [];
    if (notices.length > 0) await noticesRepository.add(tx, notices);
  }

  private stepsOf(lane: LockedLane, { signals, disable: because, tested }: EndpointSignals): LaneStep {
    let { state } = lane;
    const transitions: LaneTransition[] = [];
    // By the database's clock: open times are compared with it, and workers' clocks differ.
    for (const signal of signals) {
      const step = observe(state, { ...signal, at: lane.now }, lane.policy, this.random);
      state = step.state;
      transitions.push(...step.transitions);
    }
    if (tested) state = probeSoon(state, lane.now);
    if (because) transitions.push({ kind: 'disabled', reason: because });
    return { state, transitions };
  }

  private entryOf(
    { subscriberId, endpointId, now }: LockedLane,
    transition: LaneTransition,
  ): NewLaneTransition {
    return { id: newId(now.getTime(), this.random), subscriberId, endpointId, at: now, transition };
  }
}

/** Nobody asked for it: the audit log says that it was Posthorn, and why. */
function auditOfDisabling(
  { subscriberId, endpointId, at }: NewLaneTransition,
  disabledReason: string,
  random: Random,
): AuditRecord {
  return {
    id: newId(at.getTime(), random),
    actor: { kind: 'system', id: 'delivery' },
    action: 'endpoint.disable',
    route: null,
    object: toPublicId('ep', endpointId),
    subscriberId,
    ip: null,
    requestId: null,
    ...auditChange({}, { disabledAt: at, disabledReason }, ['disabledAt', 'disabledReason']),
  };
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
