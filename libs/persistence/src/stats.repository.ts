import type { Database } from './database.js';

/** What one endpoint's attempts of five minutes came to: counted in memory, added up here. */
export interface EndpointStats {
  endpointId: string;
  subscriberId: string;
  /** The begin of the five minutes. */
  bucketAt: Date;
  delivered: number;
  failed: number;
  /** Counts per class, see libs/domain/src/latency-histogram.ts. */
  latency: number[];
}

/** Of one endpoint over a span. */
export interface StatsSum {
  delivered: number;
  failed: number;
  latency: number[];
}

export const STATS_BUCKET_SECONDS = 300;
// One statement of a few ten thousand numbers: some milliseconds.
const ROWS_MAX = 500;

type Queries = Pick<Database, 'query'>;

/** Figures for people: what a process had counted when it was killed is missing, and nothing else depends on it. */
export const statsRepository = {
  /** Adds to what others have counted. Any number of rows; in order of the key, so that two workers never wait in a circle. */
  async add(on: Queries, stats: EndpointStats[]): Promise<void> {
    const ordered = merged(stats);
    for (let at = 0; at < ordered.length; at += ROWS_MAX) await addRows(on, ordered.slice(at, at + ROWS_MAX));
  },

  /** Forgets what is older than so many days, a bounded number of rows at a time. Answers how many. */
  async deleteOld(on: Queries, days: number, max: number): Promise<number> {
    const rows = await on.query(
      `DELETE FROM endpoint_stats WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM endpoint_stats WHERE bucket_at < now() - make_interval(days => $1) LIMIT $2)) RETURNING 1 AS one`,
      [days, max],
    );
    return rows.length;
  },

  /**
   * What an endpoint's attempts came to in each of these last spans, to the five minutes. The endpoint was found within a
   * scope; its subscriber is named all the same.
   */
  async of(
    on: Queries,
    subscriberId: string,
    endpointId: string,
    spansSeconds: number[],
  ): Promise<StatsSum[]> {
    return on.query<StatsSum>(
      `SELECT coalesce(sum(b.delivered), 0)::int AS delivered, coalesce(sum(b.failed), 0)::int AS failed,
              coalesce((SELECT array_agg(c.n ORDER BY c.class) FROM (
                 SELECT u.class, sum(u.n)::int AS n FROM endpoint_stats x, unnest(x.latency) WITH ORDINALITY AS u (n, class)
                  WHERE x.endpoint_id = $2 AND x.subscriber_id = $1 AND x.bucket_at > now() - make_interval(secs => s.seconds)
                  GROUP BY u.class) c), '{}') AS latency
         FROM unnest($3::float8[]) WITH ORDINALITY AS s (seconds, at)
         LEFT JOIN endpoint_stats b ON b.endpoint_id = $2 AND b.subscriber_id = $1
              AND b.bucket_at > now() - make_interval(secs => s.seconds)
        GROUP BY s.at, s.seconds ORDER BY s.at`,
      [subscriberId, endpointId, spansSeconds],
    );
  },
};

async function addRows(on: Queries, rows: EndpointStats[]): Promise<void> {
  // unnest takes apart an array of arrays wholly, so the histograms come as jsonb.
  await on.query(
    `INSERT INTO endpoint_stats AS s (endpoint_id, subscriber_id, bucket_at, delivered, failed, latency)
     SELECT i.endpoint_id, i.subscriber_id, i.bucket_at, i.delivered, i.failed,
            ARRAY(SELECT n::int FROM jsonb_array_elements_text(i.latency) WITH ORDINALITY AS e (n, at) ORDER BY at)
       FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::int[], $6::jsonb[])
         AS i (endpoint_id, subscriber_id, bucket_at, delivered, failed, latency)
      ORDER BY i.endpoint_id, i.bucket_at
     ON CONFLICT (endpoint_id, bucket_at, subscriber_id) DO UPDATE SET
       delivered = s.delivered + excluded.delivered, failed = s.failed + excluded.failed,
       latency = ARRAY(SELECT coalesce(a.n, 0) + coalesce(b.n, 0)
                         FROM unnest(s.latency) WITH ORDINALITY AS a (n, at)
                         FULL JOIN unnest(excluded.latency) WITH ORDINALITY AS b (n, at) ON a.at = b.at
                        ORDER BY coalesce(a.at, b.at))`,
    [
      rows.map((row) => row.endpointId),
      rows.map((row) => row.subscriberId),
      rows.map((row) => row.bucketAt),
      rows.map((row) => row.delivered),
      rows.map((row) => row.failed),
      rows.map((row) => JSON.stringify(row.latency)),
    ],
  );
}

/** One row per key, in order: a statement must not touch the same row twice. */
function merged(stats: EndpointStats[]): EndpointStats[] {
  const byKey = new Map<string, EndpointStats>();
  for (const row of stats) {
    const key = `${row.endpointId} ${row.bucketAt.toISOString()}`;
    const known = byKey.get(key);
    if (!known) byKey.set(key, row);
    else
      byKey.set(key, {
        ...row,
        delivered: known.delivered + row.delivered,
        failed: known.failed + row.failed,
        latency: row.latency.map((n, at) => n + (known.latency[at] ?? 0)),
      });
  }
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}
