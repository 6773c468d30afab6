import { addLatency, emptyLatencies } from '@app/domain';
import { STATS_BUCKET_SECONDS, statsRepository, type Database, type EndpointStats } from '@app/persistence';

// An endpoint is 30 numbers; more than this between two writes, and the figures of the rest are left out, not our memory.
const ENDPOINTS_MAX = 50_000;

/** Counts attempts per endpoint in memory and adds them to the table every few seconds: figures for people, not a record. */
export class CountAttempts {
  private counts = new Map<string, EndpointStats>();

  constructor(private readonly database: Database) {}

  count(
    endpointId: string,
    subscriberId: string,
    attempt: { status: string; finishedAt: Date; totalMs: number },
  ): void {
    const bucketMs = STATS_BUCKET_SECONDS * 1000;
    const at = Math.floor(attempt.finishedAt.getTime() / bucketMs) * bucketMs;
    const name = `${endpointId} ${at}`;
    let stats = this.counts.get(name);
    if (!stats) {
      if (this.counts.size >= ENDPOINTS_MAX) return;
      stats = {
        endpointId,
        subscriberId,
        bucketAt: new Date(at),
        delivered: 0,
        failed: 0,
        latency: emptyLatencies(),
      };
      this.counts.set(name, stats);
    }
    if (attempt.status === 'delivered') stats.delivered++;
    else stats.failed++;
    addLatency(stats.latency, attempt.totalMs);
  }

  /** Writes what was counted since the last time; what the database refuses is counted again the next time. */
  async write(): Promise<number> {
    if (this.counts.size === 0) return 0;
    const counted = this.counts;
    this.counts = new Map();
    try {
      await statsRepository.add(this.database, [...counted.values()]);
    } catch (error) {
      for (const [name, stats] of counted) if (!this.counts.has(name)) this.counts.set(name, stats);
      throw error;
    }
    return 0;
  }
}
