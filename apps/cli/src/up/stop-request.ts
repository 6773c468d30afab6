/** Thrown out of a wait that a stop request ended. */
export class Stopped extends Error {}

export interface StopRequest {
  /** @throws Stopped between two steps that must not be cut */
  check(): void;
  /** Resolves when somebody wants us to end. */
  readonly happens: Promise<void>;
  /** The wait, or Stopped when a request comes first. */
  before<T>(wait: Promise<T>): Promise<T>;
}

/**
 * Ctrl-C, SIGTERM, a closed terminal. Only the first counts: `npm start` passes on what the terminal has sent us
 * already, and nobody gains by ending in the middle of an orderly end.
 */
export function listenForStop(): StopRequest {
  let requested = false;
  let stop!: () => void;
  const happens = new Promise<void>((resolve) => (stop = resolve));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      requested = true;
      stop();
    });
  const stopped = happens.then(() => {
    throw new Stopped();
  });
  stopped.catch(() => {});
  return {
    check: () => {
      if (requested) throw new Stopped();
    },
    happens,
    before: async (wait) => {
      if (requested) wait.catch(() => {});
      return Promise.race([stopped, wait]);
    },
  };
}
