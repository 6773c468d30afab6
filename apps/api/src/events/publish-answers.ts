import { Problem } from '@app/contracts';
import type { RefusedEventDto } from '@app/dto';
import type { AcceptAnswer, AcceptedEvent } from '@app/ingest';
import type { Logger, Metrics } from '@app/observability';
import type { Caller } from '../edge/caller.js';

/** A problem of one event of a batch: its pointers lead into the batch. */
export function refusalOf(problem: Problem, pointer: string): RefusedEventDto {
  const { errors, limit, retryAfterSeconds } = problem.extra;
  return {
    code: problem.code,
    detail: problem.detail,
    ...(errors && {
      errors: errors.map((error) => ({
        ...error,
        pointer: error.pointer.startsWith('/events/') ? error.pointer : pointer + error.pointer,
      })),
    }),
    ...(limit !== undefined && { limit }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  };
}

/** The one line and the count of a publish request. */
export function tell(
  logger: Logger,
  metrics: Metrics,
  answer: AcceptAnswer,
  ms: number,
  { requestId, keyId }: Pick<Caller, 'requestId' | 'keyId'>,
): void {
  const accepted = answer.results.filter((result): result is AcceptedEvent => !(result instanceof Error));
  if (!answer.replayed) {
    metrics.eventsAccepted.inc(accepted.length);
    for (const result of answer.results)
      if (result instanceof Problem) metrics.eventsRefused.inc({ code: result.code });
  }
  logger.info(
    {
      events: accepted.length,
      refused: answer.results.length - accepted.length,
      deliveries: accepted.reduce((sum, result) => sum + result.deliveries, 0),
      replayed: answer.replayed || undefined,
      ms: Math.round(ms * 10) / 10,
      requestId,
      keyId,
    },
    'event.accepted',
  );
}
