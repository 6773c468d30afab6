/**
 * What is made of secrets, kept while they sign: in two generations, so that a secret of which nobody asks any more, because it was
 * rotated or deleted, is gone after the second. By a timer, which costs a signature nothing and runs also where nothing
 * is signed any more; it keeps no process alive. (persistence's Generations, which this lib must not import.)
 */
export class KeptKeys<K> {
  private recent = new Map<string, K>();
  private older = new Map<string, K>();
  private aging: NodeJS.Timeout | undefined;

  constructor(
    private readonly bounds: { generationMax: number; generationMs: number },
    private readonly make: (secret: string) => K,
  ) {}

  of(secret: string): K {
    return this.recent.get(secret) ?? this.keep(secret, this.older.get(secret) ?? this.make(secret));
  }

  private keep(secret: string, key: K): K {
    if (this.recent.size >= this.bounds.generationMax) this.age();
    this.recent.set(secret, key);
    this.aging ??= setTimeout(() => this.age(), this.bounds.generationMs).unref();
    return key;
  }

  private age(): void {
    clearTimeout(this.aging);
    this.older = this.recent;
    this.recent = new Map();
    const { generationMs } = this.bounds;
    this.aging = this.older.size > 0 ? setTimeout(() => this.age(), generationMs).unref() : undefined;
  }
}
