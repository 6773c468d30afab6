import { Problem } from '@app/contracts';
import type { Metrics } from '@app/observability';
import { asSystem, lanesRepository, type Database } from '@app/persistence';

// Two rounds of the loop: whoever comes back then meets another answer if there is one.
const RETRY_AFTER_SECONDS = 10;
// Twenty-five times what it takes with 200,000 endpoints. A database that needs longer has better things to do.
const QUESTION_MS_MAX = 1_000;
// What nobody could read anew for so long is no reason to refuse: a question that always fails would keep us shut for ever.
const BELIEVED_MS = 60_000;

/**
 * What is pending of everybody, as this process read it last, and whether that is all that may be. Publishing never waits for
 * the question: before the first answer, and when there has been none for long, it goes on.
 */
export class WatchBacklog {
  private pending = 0;
  private readAtMs = -Infinity;

  constructor(
    private readonly database: Database,
    private readonly metrics: Pick<Metrics, 'deliveriesPending'>,
    private readonly max: number,
    private readonly monotonic: () => number,
  ) {}

  /** One question, of everybody's lanes on nobody's behalf. A failed one leaves the answer before it. Changes nothing, so it answers 0. */
  async runOnce(): Promise<0> {
    const { queued, held, waiting } = await asSystem(() =>
      this.database.transaction(async (tx) => {
        await tx.boundStatements(QUESTION_MS_MAX);
        return lanesRepository.pending(tx);
      }),
    );
    this.pending = queued + held + waiting;
    this.readAtMs = this.monotonic();
    this.metrics.deliveriesPending.set(this.pending);
    return 0;
  }

  /** For the door, before a body is read. @throws Problem `unavailable` while as much is pending as may be */
  refuseWhenFull(): void {
    if (this.pending < this.max || this.monotonic() - this.readAtMs > BELIEVED_MS) return;
    throw new Problem(
      'unavailable',
      'As many deliveries are pending as may be in all. Nothing was changed; try again.',
      { retryAfterSeconds: RETRY_AFTER_SECONDS },
    );
  }
}
