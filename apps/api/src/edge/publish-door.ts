import type { AcceptEvents, WatchBacklog } from '@app/ingest';
import { Problem } from '@app/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { callerOf } from './caller.js';
import { RAW_BODY_LIMITS } from './route-table.js';

// A body is held as bytes, as text and parsed until its answer: six times this is what publishers can make us hold (measured).
const BODY_BYTES_MAX = 32 * 1024 * 1024;
// Who sends large bodies slowly keeps others out no longer than he likes, but for this.
const BODY_BYTES_OF_KEY_MAX = BODY_BYTES_MAX / 2;

/** How much of publishers' bodies may be here at once, and whether there is any use in reading one. */
export class PublishDoor {
  private bytes = 0;
  private readonly bytesOfKeys = new Map<string, number>();

  constructor(
    private readonly accept: Pick<AcceptEvents, 'refuseWhenBehind'>,
    private readonly backlog: Pick<WatchBacklog, 'refuseWhenFull'>,
  ) {}

  /** Before the body is read: one that has to wait too long costs us nothing then. @throws Problem `unavailable` */
  enter(request: FastifyRequest, reply: FastifyReply): void {
    const { url = '' } = request.routeOptions;
    if (request.method !== 'POST' || !Object.hasOwn(RAW_BODY_LIMITS, url)) return;
    this.accept.refuseWhenBehind(1);
    this.backlog.refuseWhenFull();
    const limit = RAW_BODY_LIMITS[url];
    // Without a length it may become as long as one may be.
    const announced = Number(request.headers['content-length'] ?? limit);
    // Refused without being read.
    if (announced > limit) return;
    const { keyId } = callerOf(request);
    if (
      this.bytes + announced > BODY_BYTES_MAX ||
      (this.bytesOfKeys.get(keyId) ?? 0) + announced > BODY_BYTES_OF_KEY_MAX
    )
      throw new Problem(
        'unavailable',
        'Too much is being published at this moment. Nothing was changed; try again.',
        { retryAfterSeconds: 1 },
      );
    this.count(keyId, announced);
    // Answered, or hung up.
    reply.raw.once('close', () => this.count(keyId, -announced));
  }

  private count(keyId: string, bytes: number): void {
    this.bytes += bytes;
    const ofKey = (this.bytesOfKeys.get(keyId) ?? 0) + bytes;
    if (ofKey === 0) this.bytesOfKeys.delete(keyId);
    else this.bytesOfKeys.set(keyId, ofKey);
  }
}
