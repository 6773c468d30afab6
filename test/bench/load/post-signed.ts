import { createHmac, randomBytes } from 'node:crypto';
import { Pool } from 'undici';
import { wireBody } from '../payload.js';

export interface PostSignedInput {
  /** The receiver's. */
  readonly url: string;
  readonly connections: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export interface PostSignedResult {
  /** Answers with 2xx within the measured seconds. */
  readonly answered: number;
  readonly perSecond: number;
  /** (fastest second − slowest second) ÷ perSecond: large when the machine was busy with something else. */
  readonly spread: number;
  /** Everything sent, the warm-up included. */
  readonly sent: number;
  readonly failed: number;
}

/**
 * What this machine can do at most: sign and post, nothing else. Written out here and not taken from libs/, so that a
 * slower signing of ours would lower our ratio and not the limit.
 */
export async function postSigned({
  url,
  connections,
  warmupSeconds,
  seconds,
}: PostSignedInput): Promise<PostSignedResult> {
  const { origin, pathname: path } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const key = randomBytes(32);
  const body = Buffer.from(wireBody(0));
  const measuredFrom = performance.now() + warmupSeconds * 1000;
  const until = measuredFrom + seconds * 1000;
  const answeredInSecond = Array.from({ length: Math.ceil(seconds) }, () => 0);
  let [sent, failed] = [0, 0];

  await Promise.all(Array.from({ length: connections }, loop));
  await pool.close();
  const answered = answeredInSecond.reduce((sum, each) => sum + each, 0);
  const spread = (Math.max(...answeredInSecond) - Math.min(...answeredInSecond)) / (answered / seconds);
  return { answered, perSecond: answered / seconds, spread, sent, failed };

  async function loop(): Promise<void> {
    while (performance.now() < until) {
      const id = `evt_${String(++sent).padStart(26, '0')}`;
      const timestamp = Math.floor(Date.now() / 1000);
      const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
        'user-agent': 'Posthorn/bench',
      };
      const answer = await pool.request({ path, method: 'POST', headers, body });
      await answer.body.dump();
      const second = Math.floor((performance.now() - measuredFrom) / 1000);
      if (answer.statusCode !== 200) failed++;
      else if (second >= 0 && second < seconds) answeredInSecond[second]++;
    }
  }
}
