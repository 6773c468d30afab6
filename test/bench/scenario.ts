import type { BenchOptions } from './options.js';
import type { Rig } from './rig.js';
import type { Cost } from './cost.js';
import type { DeliveryCounts, Percentiles } from './statistics.js';

/** One question about speed. A new one is a file in scenarios/ and a line in scenarios/index.ts. */
export interface Scenario {
  readonly name: string;
  /** One sentence for --help. */
  readonly about: string;
  /** When it needs longer than --timeout says; given --seconds. */
  timeoutSeconds?(seconds: number | null): number;
  /** The rig has measured the limit; nothing of the product runs yet. */
  run(rig: Rig, options: BenchOptions): Promise<Outcome>;
}

/** What a scenario must reach: `measured` is one of its numbers. */
export interface Must {
  readonly what: string;
  readonly measured: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export function isMet({ measured, atLeast = -Infinity, atMost = Infinity }: Must): boolean {
  return measured >= atLeast && measured <= atMost;
}

export interface Outcome {
  readonly value: number;
  readonly unit: string;
  /** The share of what the machine can do: requests per second at the receiver ÷ limit. */
  readonly ratio: number;
  readonly latency?: Percentiles | null;
  /** Absent when nothing was published. */
  readonly counts?: DeliveryCounts;
  /** Absent when nothing was delivered, or so slowly that idling is most of it. */
  readonly cost?: Cost;
  readonly musts?: readonly Must[];
  /** Everything else worth knowing, flat: it becomes fields of the JSON and rows of the table. */
  readonly details?: Readonly<Record<string, number | null>>;
}

/** What --json prints: the outcome, what the machine can do, and what the machine is. */
export interface Result extends Partial<Percentiles> {
  readonly scenario: string;
  readonly value: number;
  readonly unit: string;
  readonly limit: number;
  /** How unsteady the limit was: (fastest second − slowest second) ÷ limit. Above 0.3 somebody else was at work. */
  readonly limitSpread: number;
  readonly ratio: number;
  /** False when something accepted did not arrive in time, or something arrived that was never accepted. */
  readonly ok: boolean;
  /** Whether every must was reached; null when there is none. Says nothing about loss: that is `ok`. */
  readonly met: boolean | null;
  readonly musts: readonly Must[];
  readonly tookSeconds: number;
  readonly counts: DeliveryCounts | null;
  readonly details: Readonly<Record<string, number | null>>;
  readonly cost: Cost | null;
  readonly options: BenchOptions;
  readonly machine: Readonly<Record<string, string | number | null>>;
}
