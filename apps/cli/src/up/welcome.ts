import { relative } from 'node:path';
import type { Config } from '@app/config';
import { EXAMPLE, type Prepared } from './prepare-database.js';

/** What a person needs after a start: where Swagger UI is, the key when it is new, and one line to paste. */
export function welcome(apiUrl: string, { adminKey, example }: Prepared, config: Config): string {
  const lines = ['', 'Posthorn is running.', '', `  Swagger UI  ${apiUrl}/docs`];
  if (adminKey !== null)
    lines.push(`  Admin key   ${adminKey}`, '              Shown this once, so keep it.');
  else
    lines.push(`  Admin key   as before. For another: ${ourselves()} keys create --name NAME --scope admin`);

  const variable = config.POSTHORN_ADMIN_KEY === null ? 'POSTHORN_KEY' : 'POSTHORN_ADMIN_KEY';
  if (!example)
    lines.push('', `  Publish with POST ${apiUrl}/v1/events; the example subscriber was deleted.`);
  else {
    const how = adminKey === null ? ` (with your key in $${variable})` : '';
    lines.push('', `  Publish a first event${how}:`, '', curlLine(apiUrl, adminKey ?? `$${variable}`));
  }
  return [...lines, '', 'Ctrl-C stops everything.'].join('\n');
}

/** In double quotes what the shell may fill in, in single quotes what it must not touch. */
function curlLine(apiUrl: string, key: string): string {
  const event = { subscriber: EXAMPLE.subscriber, type: EXAMPLE.eventType, data: { hello: 'world' } };
  return `curl -sS ${apiUrl}/v1/events -H "Authorization: Bearer ${key}" -H 'content-type: application/json' -d '${JSON.stringify(event)}'`;
}

/** How this very command line tool is called again: by npm if npm called it, else with this Node, which may not be the machine's. */
function ourselves(): string {
  if (process.env['npm_lifecycle_event'] !== undefined) return 'npm run posthorn --';
  return [process.execPath, process.argv[1]].map((path) => relative('', path)).join(' ');
}

/** Where people reach the api; an address that means "all" is no place to go to. */
export function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
