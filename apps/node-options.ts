/**
 * What Node is started with for api and worker, where it is we who start them: `posthorn up`, the image, tests and the bench. Two
 * halves of 32 MB of young generation are what V8 takes of a large machine; with 16 an api under full load has 30 MB
 * less, and neither publishing nor draining costs more (docs/adr/0016).
 */
export const NODE_OPTIONS: readonly string[] = ['--max-semi-space-size=16'];
