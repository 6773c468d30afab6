import type { Database } from '@app/persistence';

/**
 * The schema as text, from the catalogue: columns, constraints, indexes with their comments, triggers, functions. Partitions of a
 * day are left out: they depend on the day. So is what is inside pg-boss's schema: that is pg-boss's golden.
 */
export async function describeCatalogue(database: Database): Promise<string> {
  const lines = await database.query<{ line: string }>(`
    WITH ours AS (
      SELECT c.oid, c.relname, c.relkind, c.reloptions, pg_get_partkeydef(c.oid) AS partition_key FROM pg_class c
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname !~ '_[0-9]{8}$')
    SELECT line FROM (
      SELECT relname AS a, 0 AS b, '' AS c, format(E'\\ntable %s%s%s', relname, ' partition by ' || partition_key,
             ' with ' || array_to_string(reloptions, ', ')) AS line FROM ours
      UNION ALL
      SELECT o.relname, 1, lpad(a.attnum::text, 3, '0'), format('  column %s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
             CASE WHEN a.attnotnull THEN ' not null' END, ' default ' || pg_get_expr(d.adbin, d.adrelid))
        FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
      UNION ALL
      SELECT o.relname, 2, c.conname, format('  constraint %s %s', c.conname, pg_get_constraintdef(c.oid))
        FROM ours o JOIN pg_constraint c ON c.conrelid = o.oid WHERE c.contype <> 'n'
      UNION ALL
      SELECT o.relname, 3, i.relname, format('  index %s — %s', pg_get_indexdef(i.oid), obj_description(i.oid))
        FROM ours o JOIN pg_index x ON x.indrelid = o.oid JOIN pg_class i ON i.oid = x.indexrelid
       WHERE NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid) AND o.relname !~ '_default$'
      UNION ALL
      SELECT o.relname, 4, p.polname, format('  policy %s to %s using %s check %s%s', p.polname, p.polroles::regrole[],
             pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), CASE WHEN c.relforcerowsecurity THEN ' forced' END)
        FROM ours o JOIN pg_policy p ON p.polrelid = o.oid JOIN pg_class c ON c.oid = o.oid WHERE o.relname !~ '_default$'
      UNION ALL
      SELECT o.relname, 5, a.grantee::regrole::text, format('  grant %s to %s', string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), a.grantee::regrole)
        FROM ours o JOIN pg_class c ON c.oid = o.oid, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner GROUP BY o.relname, a.grantee
      UNION ALL
      SELECT o.relname, 6, t.tgname, format('  trigger %s', regexp_replace(pg_get_triggerdef(t.oid), '^CREATE TRIGGER ', ''))
        FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal
      UNION ALL
      SELECT 'zz', 4, p.proname, format(E'\\nfunction %s(%s) returns %s', p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid))
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
      UNION ALL
      SELECT 'zzz', 5, q.name, format(E'\\nqueue %s retry_limit=%s expire_seconds=%s heartbeat_seconds=%s retention_seconds=%s partition=%s',
             q.name, q.retry_limit, q.expire_seconds, q.heartbeat_seconds, q.retention_seconds, q.partition)
        FROM pgboss.queue q
    ) all_lines ORDER BY a, b, c`);
  return `${lines
    .map(({ line }) => line)
    .join('\n')
    .trim()}\n`;
}
