import type { LaneTransitionDto } from '@app/dto';
import { toPublicId } from '@app/domain';
import type { LaneTransitionRow } from '@app/persistence';

/** What happened to a lane, with a sentence for people. A kind that is not known here is shown by its name. */
export function showTransition({ at, kind, detail }: LaneTransitionRow): LaneTransitionDto {
  const { probeId, ...rest } = detail;
  const shown = typeof probeId === 'string' ? { ...rest, probe: toPublicId('dlv', probeId) } : rest;
  return { at, kind, detail: shown, text: sentenceOf(kind, shown) };
}

/** Why a circuit opened, as part of a sentence. */
export function circuitReason(reason: unknown): string {
  return typeof reason === 'string' && Object.hasOwn(CIRCUIT_REASONS, reason)
    ? CIRCUIT_REASONS[reason as keyof typeof CIRCUIT_REASONS]
    : 'it failed too often';
}

const CIRCUIT_REASONS = {
  consecutive_failures: 'five attempts in a row failed',
  failure_rate: 'at least 80 % of the attempts of a minute failed',
  timeout_rate: 'half of the attempts of a minute timed out',
  probe_failed: 'the probe failed too',
};

function sentenceOf(kind: string, detail: Record<string, unknown>): string {
  switch (kind) {
    case 'circuit_opened':
      return `The circuit opened because ${circuitReason(detail.reason)}: nothing is sent until ${String(detail.until)}, then one probe.`;
    case 'circuit_half_opened':
      return `One probe, ${String(detail.probe)}, was sent to see whether the receiver is back.`;
    case 'circuit_closed':
      return 'The probe succeeded: the circuit is closed, and deliveries follow, slowly at first.';
    case 'failing':
      return `Nothing but failures: ${String(detail.percent)} % of the way to being disabled.`;
    case 'disabled':
      return `It was disabled: ${String(detail.reason)}.`;
    case 'recovered':
      return 'It recovered: an attempt succeeded after it had been reported as failing.';
    case 'verified':
      return `It was verified by ${String(detail.by)}: what was held follows, slowly at first.`;
    case 'rate_lowered':
      return `The receiver answered 429: the rate was lowered to ${Math.round(Number(detail.factor) * 100)} % of its limit.`;
    default:
      return kind.replaceAll('_', ' ');
  }
}
