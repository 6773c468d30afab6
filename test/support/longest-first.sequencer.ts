import { BaseSequencer, type TestSpecification } from 'vitest/node';

// The long ones first: alone at the end, one of them would keep one lane busy and the others idle. But not the longest two
// together: faults and bench start processes without a pause, a core each, and beside the other a row of the faults took twice
// its time. What waits for most of its time (a claim that runs out, a worker that ends) runs beside the first of them.
const ORDER: readonly RegExp[] = [
  /faults\/faults\.e2e/,
  /e2e\/(real-input|ordered-endpoint|publish-while|database-goes|killed-worker|frozen-worker|graceful-stop)/,
  /bench\.e2e/,
  /e2e\/up\.e2e/,
  /\.e2e\./,
  /authorization-matrix|keys-at-rest|embedded-postgres\.spec/,
  /test\/integration\//,
];

/** Groups in their order, and in each the longest first. Without a cache of earlier runs, as in CI, vitest guesses by size. */
export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    return Promise.resolve(files.toSorted((a, b) => groupOf(a) - groupOf(b) || placeOf(a) - placeOf(b)));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = ORDER.findIndex((name) => name.test(moduleId));
  return place === -1 ? ORDER.length : place;
}
