import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, rm, stat, statfs } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { FaultContext } from './fault-context.js';

/** A database that runs out of room, and gets some back. */
export interface FullDisk {
  /** `tmpfs`: a real file system, full. `refusal`: the server is made to say what it says then; wherever we may not mount. */
  readonly by: 'tmpfs' | 'refusal';
  fill(): Promise<void>;
  free(): Promise<void>;
}

const SIZE_MB = 96;

/** Before anything else runs: the database moves. */
export async function startFullDisk(context: FaultContext): Promise<FullDisk> {
  const mounted = await mountSmall(context);
  return mounted === null ? refuse(context) : fillUp(context, mounted);
}

/** Null where the kernel does not let us, as for an ordinary user, in most containers and on other systems than Linux. */
async function mountSmall(context: FaultContext): Promise<string | null> {
  const path = join(context.directory, 'small');
  await mkdir(path);
  const { uid, gid } = await stat(join(context.cluster.directory, 'postgres', 'cluster', 'data'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MB}m,mode=755`, 'none', path]);
  if (mount.status !== 0) return null;
  await context.own(
    () => Promise.resolve(path),
    async () => {
      // The server lives in it.
      await context.cluster.destroy();
      spawnSync('umount', [path]);
    },
  );
  await chmod(context.directory, 0o711);
  const space = join(path, 'space');
  await mkdir(space, { mode: 0o700 });
  await chown(space, uid, gid);
  return path;
}

/** Tables on the small file system, the log of changes on the ordinary one: writing fails, reading and the server go on. */
async function fillUp(context: FaultContext, path: string): Promise<FullDisk> {
  const admin = new pg.Client({ connectionString: context.cluster.adminUrlOf('postgres') });
  await admin.connect();
  try {
    await admin.query(`CREATE TABLESPACE small LOCATION '${join(path, 'space')}'`);
    await admin.query(`GRANT CREATE ON TABLESPACE small TO posthorn`);
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'posthorn' AND pid <> pg_backend_pid()`,
    );
    await admin.query('ALTER DATABASE posthorn SET TABLESPACE small');
  } finally {
    await admin.end();
  }
  const ballast = join(path, 'ballast');
  return {
    by: 'tmpfs',
    fill: async () => {
      const { bavail, bsize } = await statfs(path);
      const file = await open(ballast, 'w');
      const block = Buffer.alloc(1024 * 1024);
      try {
        for (let left = bavail * bsize; left > 0; left -= block.length)
          await file.write(block, 0, Math.min(left, block.length));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      } finally {
        await file.close();
      }
    },
    free: () => rm(ballast),
  };
}

/** The same SQLSTATE at the same statements, from a trigger. */
function refuse(context: FaultContext): FullDisk {
  const tables = ['events', 'deliveries', 'attempts'];
  return {
    by: 'refusal',
    fill: async () => {
      await context.tables.rows(
        `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$`,
      );
      for (const table of tables)
        await context.tables.rows(
          `CREATE TRIGGER no_room BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION no_room()`,
        );
    },
    free: async () => {
      await context.tables.rows('DROP FUNCTION no_room() CASCADE');
    },
  };
}
