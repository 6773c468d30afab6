import type { FaultContext } from './fault-context.js';

/** What a row measured, for who reads the report. */
export type Figures = Readonly<Record<string, number | string | boolean | null>>;

/** One row of the fault matrix: it hurts something and throws unless all that must hold held. */
export interface FaultRow {
  readonly row: number;
  /** What happens, in kebab-case, as its file is named. */
  readonly name: string;
  /** Whether `--quick` has it: as it is, shortened (the row asks `context.quick`), or not at all. */
  readonly quick: boolean | 'short';
  /** A PostgreSQL of its own, which it may stop, kill and starve. */
  readonly cluster?: 'own';
  /** It compares latencies, rates or clocks, or waits no longer than a second: what runs beside it would be what it measures. */
  readonly alone?: true;
  /** Beyond it the row has failed. 60 when quick and 300 when whole, unless given. */
  readonly timeoutSeconds?: number;
  run(context: FaultContext): Promise<Figures>;
}
