import { STAFF, type Scope } from '@app/contracts';
import { replaysRepository, type Database, type ReplayRow, type ReplayState } from '@app/persistence';
import { resendDeliveries, type ResendQueue } from './resend-deliveries.js';
import { REPLAY_MATCHED_MAX } from './start-replay.js';

// A transaction of some 50 ms: short beside a lock timeout, and a crash repeats no more than this.
const REPLAY_BATCH = 500;

/** What one round did. `skipped` were left alone: stopped endpoints, and what has moved on by itself. */
export interface ReplayRound {
  replayId: string;
  resent: number;
  skipped: number;
  state: ReplayState;
}

/**
 * Moves replays on, a batch per call, in any number of workers: of a bounded number of deliveries that it looks at those that
 * match, often none. Where it is, is written with what it has moved: after kill -9 the next runner begins at the first delivery
 * that was not looked at. Lanes hold what they have no room for, so a
 * hundred thousand of one endpoint stand in nobody's way.
 */
export class ReplayRunner {
  constructor(
    private readonly database: Database,
    private readonly queue: ResendQueue,
    private readonly batch = REPLAY_BATCH,
    private readonly movedMax = REPLAY_MATCHED_MAX,
  ) {}

  /** One batch of the running replay that has waited longest; null when there is none that is free. */
  async runOnce(): Promise<ReplayRound | null> {
    let claimed: string | undefined;
    try {
      return await this.runBatch((id) => (claimed = id));
    } catch (error) {
      // To the end of the line: a replay that fails again and again must not keep the others waiting.
      if (claimed !== undefined)
        await replaysRepository.postpone(this.database, claimed).catch(() => undefined);
      throw error;
    }
  }

  private runBatch(onClaim: (id: string) => void): Promise<ReplayRound | null> {
    return this.database.transaction(async (tx) => {
      const replay = await replaysRepository.claim(tx);
      if (!replay) return null;
      onClaim(replay.id);
      const scope = scopeOf(replay);
      const { ids, lookedTo } = await replaysRepository.nextBatch(tx, scope, replay, this.batch);
      const outcomes = await resendDeliveries(tx, this.queue, scope, {
        ids,
        trigger: 'replay',
        replayId: replay.id,
        // Locked now, so what changed since the batch was read is seen: it is no longer what was asked for.
        only: (delivery) => delivery.status === replay.status && delivery.updatedAt < replay.createdAt,
      });
      let resent = 0;
      for (const { result } of outcomes.values()) if (result === 'queued' || result === 'held') resent++;
      const step = { resent, skipped: ids.length - resent };
      const state = lookedTo === null ? 'done' : this.mayGoOn(replay, ids.length) ? 'running' : 'cancelled';
      await replaysRepository.advance(tx, { id: replay.id, afterId: lookedTo, ...step, state });
      return { replayId: replay.id, ...step, state };
    });
  }

  /** One that was counted is not too large; of another it shows here. */
  private mayGoOn(replay: ReplayRow, moved: number): boolean {
    return replay.countedTo === null || replay.resent + replay.skipped + moved < this.movedMax;
  }
}

/** A replay sees what its starter saw: one of a subscriber can never move another's deliveries. */
function scopeOf(replay: ReplayRow): Scope {
  return replay.subscriberId === null ? STAFF : { kind: 'subscriber', subscriberId: replay.subscriberId };
}
