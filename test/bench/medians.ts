import { isMet, type Result } from './scenario.js';
import { median, round } from './statistics.js';

/** Of several runs of one scenario: each number's median. `ok` is that of all: a loss in one of them is a loss. */
export function medianOf(runs: readonly Result[]): Result {
  if (runs.length === 1) return runs[0];
  const result = mediansIn(runs) as Result;
  const { musts } = result;
  return {
    ...result,
    ok: runs.every(({ ok }) => ok),
    met: musts.length === 0 ? null : musts.every(isMet),
    options: runs[0].options,
    machine: runs[0].machine,
  };
}

function mediansIn(values: readonly unknown[]): unknown {
  const [first] = values;
  if (Array.isArray(first))
    return first.map((_, i) => mediansIn(values.map((each) => (each as unknown[])[i])));
  if (values.every((each) => typeof each === 'number')) return round(median(values), 6);
  if (typeof first !== 'object' || first === null) return first;
  const fields = Object.keys(first).map((name) => [
    name,
    mediansIn(values.map((each) => (each as Record<string, unknown> | null)?.[name])),
  ]);
  return Object.fromEntries(fields) as unknown;
}
