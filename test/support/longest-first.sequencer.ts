import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Seconds, roughly, of what takes longer than a few. Alone at the end, one of them would keep one lane busy and the others idle.
const LONG: readonly (readonly [RegExp, number])[] = [
  [/faults\/faults\.e2e/, 150],
  [/bench\.e2e/, 45],
  [/e2e\/up\.e2e/, 50],
  [/e2e\/real-input\.e2e/, 30],
  [/\.e2e\./, 20],
  [/authorization-matrix|keys-at-rest|embedded-postgres\.spec/, 12],
  [/test\/integration\//, 3],
];

/** Groups in their order, and in each the longest first. Without a cache of earlier runs, as in CI, vitest guesses by size. */
export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    return Promise.resolve(files.toSorted((a, b) => groupOf(a) - groupOf(b) || secondsOf(b) - secondsOf(a)));
  }
}

function secondsOf({ moduleId }: TestSpecification): number {
  return LONG.find(([name]) => name.test(moduleId))?.[1] ?? 0;
}
