/** The lowest and the highest of these ids: said beside an array of ids they prune to the days that it lies in. */
export function boundsOf(ids: string[]): [string | null, string | null] {
  let [lowest, highest] = [ids[0] ?? null, ids[0] ?? null];
  for (const id of ids) {
    if (id < lowest) lowest = id;
    if (id > highest) highest = id;
  }
  return [lowest, highest];
}
