import type { Tables } from './tables.js';

/** `table: name` for each needle that stands in a row of any table, as it is, in base64 or in hex. */
export async function findInDatabase(tables: Tables, needles: Record<string, string>): Promise<string[]> {
  const forms = Object.entries(needles).flatMap(([name, needle]) =>
    formsOf(needle).map((form) => ({ name, form })),
  );
  const names = await tables.rows<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname IN ('public', 'pgboss') ORDER BY 1`,
  );
  const found = new Set<string>();
  for (const { name: table } of names)
    // As psql would show it: text as it is, bytes in hex.
    for (const { row } of await tables.rows<{ row: string }>(`SELECT t::text AS row FROM ${table} t`))
      for (const { name, form } of forms) if (row.includes(form)) found.add(`${table}: ${name}`);
  return [...found];
}

/** Base64 of a text that begins anywhere in another: what does not depend on its neighbours. */
function formsOf(needle: string): string[] {
  const bytes = Buffer.from(needle);
  const inBase64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '');
    return text.slice(Math.ceil((shift * 8) / 6) + 1, -2);
  });
  return [needle, bytes.toString('hex'), ...inBase64];
}
