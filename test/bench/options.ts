import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export interface BenchOptions {
  readonly workers: number;
  /** Of the measured part of `publish` and `latency`; the warm-up comes before it. */
  readonly seconds: number | null;
  readonly deliveries: number;
  readonly endpoints: number;
  readonly connections: number;
  /** Events per second of `latency`. */
  readonly rate: number;
  readonly limitSeconds: number;
  readonly timeoutSeconds: number;
  readonly logLevel: string;
  readonly dir: string | null;
  /** Deliveries of a history that is made for this run, or by seed; null takes the kept one. */
  readonly history: number | null;
  readonly subscribers: number | null;
  readonly historyDir: string | null;
  /** memory: how many. */
  readonly pending: number;
  /** Each scenario so many times, in turns; the medians are told. */
  readonly repeat: number;
  /** For tests, which ask whether a scenario runs: no warm-up, one limit and one server for all. Its numbers mean nothing. */
  readonly smoke: boolean;
  /** Where api and workers write a CPU profile each; its price is in every number. */
  readonly profile: string | null;
  /** So many of the costliest statements are printed beside the result. */
  readonly top: number;
}

export interface CommandLine {
  readonly scenario: string;
  readonly json: boolean;
  readonly help: boolean;
  readonly options: BenchOptions;
}

/** name: default, the most that is allowed, what it is. Everything is bounded: a typing error must not fill a disk. */
const NUMBERS = {
  workers: [1, 16, 'worker processes'],
  deliveries: [40_000, 1_000_000, 'drain: deliveries that wait when the worker starts'],
  endpoints: [10, 500, 'endpoints, each with a subscriber of its own, that share them'],
  connections: [64, 1024, 'publish, limit: connections that send at the same time'],
  rate: [50, 5000, 'latency, noisy: events per second; latency then four times as many'],
  // What one subscriber may have.
  pending: [1_000_000, 2_000_000, 'memory: deliveries that wait'],
  repeat: [1, 20, 'how often each scenario is run, in turns; the result has the medians'],
  'limit-seconds': [5, 60, 'how long the limit is measured, after a second of warm-up'],
  timeout: [150, 3600, 'seconds after which a scenario is given up'],
} as const;

export function parseCommandLine(args: readonly string[]): CommandLine {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...(Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, text])) as Record<
        keyof typeof NUMBERS,
        typeof text
      >),
      seconds: text,
      'log-level': text,
      dir: text,
      profile: text,
      history: text,
      subscribers: text,
      'history-dir': text,
      top: text,
      json: { type: 'boolean' },
      smoke: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (positionals.length > 1) throw new Error(`One scenario at a time, or all: ${positionals.join(' ')}`);
  const number = (name: keyof typeof NUMBERS) =>
    bounded(name, values[name], NUMBERS[name][1]) ?? NUMBERS[name][0];
  return {
    scenario: positionals[0] ?? '',
    json: values.json ?? false,
    help: values.help ?? false,
    options: {
      workers: number('workers'),
      seconds: bounded('seconds', values.seconds, 600),
      deliveries: number('deliveries'),
      endpoints: number('endpoints'),
      connections: number('connections'),
      rate: number('rate'),
      limitSeconds: number('limit-seconds'),
      timeoutSeconds: number('timeout'),
      // What an operator runs: logging is part of the cost.
      logLevel: values['log-level'] ?? 'info',
      dir: values.dir ?? null,
      history: bounded('history', values.history, 50_000_000),
      subscribers: bounded('subscribers', values.subscribers, 1_000_000),
      historyDir: values['history-dir'] ?? null,
      pending: number('pending'),
      repeat: number('repeat'),
      smoke: values.smoke ?? false,
      profile: values.profile === undefined ? null : resolve(values.profile),
      top: bounded('top', values.top, 100) ?? 0,
    },
  };
}

export function helpText(scenarios: readonly { name: string; about: string }[]): string {
  const row = (name: string, about: string) => `  ${name.padEnd(18)} ${about}`;
  return [
    'npm run bench -- SCENARIO [--json] [options]',
    '',
    'Measures the built product on this machine: real processes, durable PostgreSQL in a temporary directory that is',
    'removed afterwards, loopback only. How to read it: test/bench/README.md',
    '',
    ...scenarios.map(({ name, about }) => row(name, about)),
    row('all', 'these in turn; without a kept history growth and lists use one of 500,000 deliveries'),
    row(
      'seed',
      'makes the history that growth and lists use, and keeps it: 5,000,000 deliveries, 100,000 subscribers',
    ),
    '',
    row('--json', 'stdout is one JSON object; use npm run --silent, npm prints two lines otherwise'),
    row(
      '--seconds',
      'publish, latency, noisy, growth, memory, soak: how long is measured (15, 20, 30, 7, 15, 600; 600 at most)',
    ),
    row('--history', 'seed: deliveries; growth, lists: a history of so many for this run only'),
    row('--subscribers', 'of that history, two endpoints each (100,000)'),
    row('--history-dir', 'where the kept history is (.posthorn/bench-history)'),
    ...Object.entries(NUMBERS).map(([name, [standard, , about]]) =>
      row(`--${name}`, `${about} (${standard})`),
    ),
    row('--smoke', 'as short as it can be, one server for all: for tests, its numbers mean nothing'),
    row(
      '--profile',
      'a directory: api and workers write a .cpuprofile each into it when they end (slower: compare nothing)',
    ),
    row('--top', 'prints so many of the statements that took most of PostgreSQL’s time'),
    row('--log-level', 'of api and worker (info; their lines go to files)'),
    row('--dir', 'where the temporary directory is made (the system’s; on a tmpfs fsync costs nothing)'),
  ].join('\n');
}

function bounded(name: string, text: string | undefined, max: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1 || value > max) {
    throw new Error(`--${name} is a whole number from 1 to ${max}, not ${text}`);
  }
  return value;
}
