import { createHash } from 'node:crypto';
import { boundTo, Problem, REPLAY_DAYS_MAX, type Scope } from '@app/contracts';
import type { StartedReplayDto } from '@app/dto';
import { newId, toPublicId, uuidTimeMs, type Clock, type Random } from '@app/domain';
import { replaysRepository, type ReplayFilter, type ReplayRow, type Tx } from '@app/persistence';

const DAY_MS = 24 * 3_600_000;
// Ten times what support is expected to move at once; beyond it somebody has left out a filter.
export const REPLAY_MATCHED_MAX = 1_000_000;
// A person waits for the answer. Enough for a million that match; of few among many it is told how far the count has come.
const COUNT_MS_MAX = 3000;

/** What is asked for: `until` as it was said, also when it lies ahead. */
export interface ReplayRequest extends ReplayFilter {
  dryRun: boolean;
}

/** Counts what a replay would move and, unless it is a dry run, writes it down for ReplayRunner to do. */
export class StartReplay {
  constructor(
    private readonly clock: Clock,
    private readonly random: Random,
  ) {}

  /** @throws Problem invalid_request, unknown_subscriber, limit_reached */
  async start(tx: Tx, scope: Scope, asked: ReplayRequest): Promise<StartedReplayDto> {
    const { dryRun, ...request } = asked;
    const filter = within(scope, this.checkSpan(request));
    const fingerprint = fingerprintOf(scope, { ...filter, until: request.until });
    // Before it is counted, and again when inserting finds one: two may start the same at once.
    const running = dryRun ? undefined : await replaysRepository.findRunning(tx, fingerprint);
    if (running) return alreadyRunning(running);

    const counted = await this.count(tx, scope, filter);
    if (dryRun) return { id: null, ...counted, alreadyRunning: false };

    const id = newId(this.clock.now().getTime(), this.random);
    const replay = await replaysRepository.insert(tx, { ...filter, id, ...counted, fingerprint });
    if (replay) return { id: toPublicId('rpl', replay.id), ...counted, alreadyRunning: false };
    const other = await replaysRepository.findRunning(tx, fingerprint);
    // It ended in the moment between the two statements, and with it what was to be done.
    if (!other) throw new Problem('conflict', 'The same replay has just ended. Ask again to start another.');
    return alreadyRunning(other);
  }

  /** All that match, or those before an instant: what few match of very many cannot be counted while somebody waits. */
  private async count(
    tx: Tx,
    scope: Scope,
    filter: ReplayFilter,
  ): Promise<Pick<ReplayRow, 'matched' | 'countedTo'>> {
    const endsAtMs = this.clock.now().getTime() + COUNT_MS_MAX;
    let matched = 0;
    let after: string | null = null;
    do {
      const part = await replaysRepository.countMatching(tx, scope, filter, after);
      matched += part.matched;
      after = part.lookedTo;
      if (matched > REPLAY_MATCHED_MAX)
        throw new Problem('limit_reached', 'A replay moves at most a million deliveries. Narrow it.', {
          limit: REPLAY_MATCHED_MAX,
        });
    } while (after !== null && this.clock.now().getTime() < endsAtMs);
    return { matched, countedTo: after === null ? null : new Date(uuidTimeMs(after)) };
  }

  /** The span with its end at now, at the latest: what is published later is no business of a replay. */
  private checkSpan<T extends ReplayFilter>(filter: T): T {
    const now = this.clock.now();
    const until = filter.until < now ? filter.until : now;
    if (filter.since >= filter.until) throw refuse('/until', 'must be later than since');
    if (filter.since >= now) throw refuse('/since', 'must lie in the past');
    if (until.getTime() - filter.since.getTime() > REPLAY_DAYS_MAX * DAY_MS)
      throw refuse('/since', `must be at most ${REPLAY_DAYS_MAX} days before until`, REPLAY_DAYS_MAX);
    return { ...filter, until };
  }
}

/** A bound key replays its own subscriber's deliveries, whether it says so or not. */
function within(scope: Scope, filter: ReplayFilter): ReplayFilter {
  const bound = boundTo(scope);
  if (bound === null) return filter;
  if (filter.subscriberId !== null && filter.subscriberId !== bound)
    throw new Problem('unknown_subscriber', 'There is no such subscriber.');
  return { ...filter, subscriberId: bound };
}

/** Equal for requests that ask for the same, whoever of the same scope asks. */
function fingerprintOf(scope: Scope, filter: ReplayFilter): Buffer {
  const { subscriberId, endpointId, eventType, status, since, until } = filter;
  const canonical = [
    scope.kind,
    subscriberId,
    endpointId,
    eventType,
    status,
    since.getTime(),
    until.getTime(),
  ];
  return createHash('sha256').update(JSON.stringify(canonical)).digest();
}

function alreadyRunning({ id, matched, countedTo }: ReplayRow): StartedReplayDto {
  return { id: toPublicId('rpl', id), matched, countedTo, alreadyRunning: true };
}

function refuse(pointer: string, detail: string, limit?: number): Problem {
  return new Problem('invalid_request', `\`${pointer}\` ${detail}.`, {
    limit,
    errors: [{ pointer, detail }],
  });
}
