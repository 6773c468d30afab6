import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Metrics } from './index.js';

const table = readFileSync(new URL('../OBSERVABLE.md', import.meta.url), 'utf8');
const rows = [...table.matchAll(/^\| `([a-z_.]+)` *\|/gm)].map(([, name]) => name);

describe('OBSERVABLE.md', () => {
  it('lists every metric, and none that does not exist', async () => {
    const metrics = (await new Metrics().registry.getMetricsAsJSON()).map((metric) => metric.name);
    const own = metrics.filter((name) => name.startsWith('posthorn_')).sort();
    expect(rows.filter((name) => name.startsWith('posthorn_')).sort()).toEqual(own);
  });

  it('lists every log line, and none that does not exist', () => {
    const root = new URL('../../../', import.meta.url);
    const written = new Set<string>();
    for (const folder of ['apps', 'libs'])
      for (const file of readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' }))
        if (file.endsWith('.ts') && !file.endsWith('.spec.ts'))
          for (const [, name] of readFileSync(new URL(`${folder}/${file}`, root), 'utf8').matchAll(
            /(?:logger|log)\s*\.(?:debug|info|warn|error)\([^;]*?'([a-z]+\.[a-z-]+)'\s*,?\s*\)/g,
          ))
            written.add(name);
    expect(rows.filter((name) => !name.startsWith('posthorn_')).sort()).toEqual([...written].sort());
  });
});
