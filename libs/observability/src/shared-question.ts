// Balancers and orchestrators ask every few seconds and wait no longer: an answer after that is none.
const PATIENCE_MS = 2000;

/**
 * One question for all who ask meanwhile, answered soon whatever becomes of it: whoever asks whether a process is ready waits no longer than
 * `patienceMs`, and is told what is known by then. While a question hangs there is no second one, so that a database that does not answer
 * costs one connection, which its own bounds end, and not one for each who asks.
 */
export class SharedQuestion<T> {
  private answer: Promise<T> | null = null;

  constructor(
    private readonly question: () => Promise<T>,
    /** What is known of one that takes too long. */
    private readonly soFar: () => T,
    private readonly patienceMs: number = PATIENCE_MS,
  ) {}

  /** @throws what the question throws in time */
  ask(): Promise<T> {
    return (this.answer ??= this.asked());
  }

  private asked(): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(this.soFar()), this.patienceMs).unref();
      this.question()
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer);
          this.answer = null;
        });
    });
  }
}
