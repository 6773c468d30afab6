import { Pool, type Dispatcher } from 'undici';
import { EVENT_TYPE, eventData } from '../payload.js';

/** Where events go: an api, and subscribers that take turns. */
export interface ApiTarget {
  readonly url: string;
  readonly key: string;
  readonly subscribers: readonly string[];
}

/** Why events were not accepted, and how often: a bench that is refused measures nothing. */
export type Refusals = Record<string, number>;

/** A publisher that keeps its connections, as an internal service would. */
export class Publisher {
  readonly accepted: string[] = [];
  readonly refusals: Refusals = {};
  private readonly pool: Pool;
  private readonly headers: Record<string, string>;

  constructor(
    private readonly target: ApiTarget,
    connections: number,
  ) {
    this.pool = new Pool(target.url, {
      connections,
      pipelining: 1,
      headersTimeout: 15_000,
      bodyTimeout: 15_000,
    });
    this.headers = { authorization: `Bearer ${target.key}`, 'content-type': 'application/json' };
  }

  event(n: number): string {
    const subscriber = this.target.subscribers[n % this.target.subscribers.length];
    return `{"subscriber":"${subscriber}","type":"${EVENT_TYPE}","data":${eventData(n)}}`;
  }

  /** The id of the accepted event; null, and counted, when it was not. */
  async publish(n: number): Promise<string | null> {
    const answer = await this.post('/v1/events', this.event(n));
    if (answer === null) return null;
    const { id } = JSON.parse(answer) as { id: string };
    this.accepted.push(id);
    return id;
  }

  /** The text of a 202. */
  async post(path: string, body: string): Promise<string | null> {
    try {
      const answer: Dispatcher.ResponseData = await this.pool.request({
        path,
        method: 'POST',
        headers: this.headers,
        body,
      });
      const text = await answer.body.text();
      if (answer.statusCode === 202) return text;
      this.refuse(`${answer.statusCode} ${text.slice(0, 300)}`);
    } catch (error) {
      this.refuse(String(error));
    }
    return null;
  }

  refuse(reason: string): void {
    // A reason may hold an id; beyond a few different ones their number is what matters.
    const key = Object.keys(this.refusals).length < 10 || reason in this.refusals ? reason : 'other';
    this.refusals[key] = (this.refusals[key] ?? 0) + 1;
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}
