import type { FaultContext, StartOptions } from './fault-context.js';

/** A worker whose way to PostgreSQL can be cut, while its way to the receivers stays. */
export interface Partition {
  /** By a wire of our own: it needs no rights, and cuts the same way on every machine. */
  readonly by: 'proxy';
  readonly worker: StartOptions;
  cut(): Promise<void>;
  mend(): Promise<void>;
}

export async function startPartition(context: FaultContext): Promise<Partition> {
  const proxy = await context.startProxy();
  return {
    by: 'proxy',
    worker: { databaseUrl: proxy.urlOf(context.databaseUrl) },
    cut: () => Promise.resolve(proxy.set({ cut: true })),
    mend: () => Promise.resolve(proxy.set({ cut: false })),
  };
}
