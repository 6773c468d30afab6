import { isMet, type Must, type Result } from './scenario.js';

/** A few rows for a person. */
export function table(result: Result): string {
  const { scenario, value, unit, limit, limitSpread, ratio, counts, details, machine } = result;
  const rows: [string, string][] = [
    [scenario, `${number(value)} ${unit}`],
    ['limit', `${number(limit)} requests/s (spread ${Math.round(limitSpread * 100)} %)`],
    ['ratio', ratio.toFixed(4)],
  ];
  if (result.p50Ms !== undefined) {
    rows.push([
      'p50 · p95 · p99',
      `${result.p50Ms} · ${result.p95Ms} · ${result.p99Ms} ms (max ${result.maxMs})`,
    ]);
  }
  for (const [name, detail] of Object.entries(details))
    rows.push([words(name), detail === null ? '—' : number(detail)]);
  for (const must of result.musts) rows.push([isMet(must) ? 'must, met' : 'must, NOT met', bounds(must)]);
  for (const [name, each] of Object.entries(result.cost ?? {}))
    rows.push([words(name), each === null ? '—' : number(each)]);
  if (counts !== null) {
    const { accepted, received, missing, duplicates, unknown } = counts;
    rows.push([
      'accepted',
      `${accepted}, received ${received}, missing ${missing}, duplicates ${duplicates}, unknown ${unknown}`,
    ]);
  }
  rows.push([
    'machine',
    Object.entries(machine)
      .map(([name, fact]) => `${words(name)} ${fact ?? '—'}`)
      .join(', '),
  ]);
  rows.push(['took', `${result.tookSeconds} s`]);
  const width = Math.max(...rows.map(([name]) => name.length));
  const verdict = result.ok ? '' : '\nNOT OK: what was accepted is not what came in\n';
  return `\n${rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join('\n')}\n${verdict}`;
}

function bounds({ what, measured, atLeast, atMost }: Must): string {
  const limit = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  return `${what}: ${number(measured, 4)}, ${limit}`;
}

function number(value: number, digits = 3): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}

function words(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
