/**
 * What is dear to make, by its name, in two generations: what nobody asked for during one is gone after the next, at the
 * latest `ms` after that. Bounded, and nothing is kept for ever: what may be in it are keys and secrets.
 */
export class Generations<V> {
  private recent = new Map<string, V>();
  private older = new Map<string, V>();
  private aging: NodeJS.Timeout | undefined;

  constructor(
    private readonly max: number,
    private readonly ms: number,
  ) {}

  get(name: string): V | undefined {
    const known = this.recent.get(name);
    if (known !== undefined) return known;
    const old = this.older.get(name);
    if (old !== undefined) this.set(name, old);
    return old;
  }

  set(name: string, value: V): void {
    if (this.recent.size >= this.max) this.age();
    this.recent.set(name, value);
    this.aging ??= setTimeout(() => this.age(), this.ms).unref();
  }

  delete(name: string): void {
    this.recent.delete(name);
    this.older.delete(name);
  }

  private age(): void {
    clearTimeout(this.aging);
    this.older = this.recent;
    this.recent = new Map();
    this.aging = this.older.size > 0 ? setTimeout(() => this.age(), this.ms).unref() : undefined;
  }
}
