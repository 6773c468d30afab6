/**
 * What Node is started with, where it is we who start it: `posthorn up`, the image, tests and the bench. An api under full load
 * has 30 MB less with young halves of 16 MB than with the 32 that V8 takes of a large machine, and publishing costs no more
 * (docs/adr/0016). A worker has that room, and what it allocates lives as long as an attempt: with 32 it is half as often that
 * what is under way is copied; and an old generation below 64 MB, which it is soon, is not looked through three times on the way there (docs/adr/0014).
 */
export const NODE_OPTIONS: Readonly<Record<'api' | 'worker', readonly string[]>> = {
  api: ['--max-semi-space-size=16'],
  worker: ['--max-semi-space-size=32', '--initial-old-space-size=64'],
};
