import type { DatabaseRole } from '@app/contracts';
import type { Database } from './database.js';

/** Why this connection does not have the role that row security is about, or null when it has. */
export async function checkRole(database: Database, role: DatabaseRole): Promise<string | null> {
  const [row] = await database.query<{ name: string; above: string | null }>(
    `SELECT current_user AS name,
            CASE WHEN rolsuper THEN 'is a superuser' WHEN rolbypassrls THEN 'may bypass row security'
                 WHEN ${ownsTables('r.oid')} THEN 'owns tables' END AS above
       FROM pg_roles r WHERE rolname = current_user`,
  );
  if (row.name !== role)
    return `The connection is ${row.name} and not ${role}: take \`options\` out of DATABASE_URL, and connect without a pooler that drops them.`;
  if (row.above === null) return null;
  return `The role ${role} ${row.above}, so row security would not hold for it: ALTER ROLE ${role} NOSUPERUSER NOBYPASSRLS, and let the migrating role own the tables.`;
}

/** What a login that is more than its role could do, in a sentence for the log, or null when it is no more. */
export async function howRoleCanBeLeft(database: Database): Promise<string | null> {
  const [row] = await database.query<{ name: string; above: string | null }>(
    `SELECT session_user AS name,
            CASE WHEN rolsuper THEN 'a superuser' WHEN rolbypassrls THEN 'allowed to bypass row security'
                 WHEN ${ownsTables('r.oid')} THEN 'the owner of tables' END AS above
       FROM pg_roles r WHERE rolname = session_user`,
  );
  return row.above === null
    ? null
    : `This process logs in as ${row.name}, which is ${row.above}: SET ROLE NONE would leave row security. docs/runbooks/production.md says how to log in strictly.`;
}

/** The sentence for a login that may not take its role, or that finds none; null for any other error. */
export function refusedRole(error: unknown, role: DatabaseRole): string | null {
  const { message = '' } = error as { message?: string };
  // The server says both before there is a session, with codes that other refusals share.
  if (message === `role "${role}" does not exist`)
    return `The database has no role ${role}: run \`posthorn migrate\` first.`;
  if (message.startsWith('permission denied to set role'))
    return `The login of DATABASE_URL may not become ${role}: have an administrator run GRANT ${role} TO that login.`;
  return null;
}

function ownsTables(oid: string): string {
  return `EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = ${oid} AND c.relkind IN ('r', 'p')
                     AND c.relnamespace IN (to_regnamespace('public'), to_regnamespace('pgboss')))`;
}
