import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import {
  destroyEmbeddedPostgres,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '@app/embedded-postgres';
import { migrate } from '@app/persistence';

const PREFIX = 'posthorn-faults-';
const TEMPLATE = 'posthorn_template';

/** A directory that the server's user may enter, too: as root the server runs as somebody else. */
export async function makeScratch(parent = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(parent, `${PREFIX}${process.pid}-`));
  await chmod(directory, 0o711);
  return directory;
}

/** What a run that was killed left behind: its servers and their data. */
export async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]);
    if (pid > 0 && !isAlive(pid)) await destroyEmbeddedPostgres(join(tmpdir(), name));
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The server that most rows share; each gets a migrated database of its own. Durable, as in production. */
export class SharedCluster {
  private constructor(
    private readonly directory: string,
    private readonly server: EmbeddedPostgres,
  ) {}

  static async start(): Promise<SharedCluster> {
    const directory = await makeScratch();
    try {
      const server = await startEmbeddedPostgres({
        dataDir: directory,
        durable: true,
        log: () => undefined,
      });
      const cluster = new SharedCluster(directory, server);
      await cluster.asAdmin(`CREATE DATABASE ${TEMPLATE} OWNER posthorn`);
      await migrate(server.url(TEMPLATE));
      // Nobody may connect from here on: a template with a session on it cannot be copied.
      await cluster.asAdmin(`ALTER DATABASE ${TEMPLATE} ALLOW_CONNECTIONS false`);
      return cluster;
    } catch (error) {
      await destroyEmbeddedPostgres(directory);
      throw error;
    }
  }

  async createDatabase(): Promise<{ url: string; adminUrl: string; drop(): Promise<void> }> {
    const name = `fault_${randomBytes(6).toString('hex')}`;
    await this.asAdmin(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE} OWNER posthorn STRATEGY file_copy`);
    return {
      url: this.server.url(name),
      adminUrl: this.server.adminUrl(name),
      drop: () => this.asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
    };
  }

  destroy(): Promise<void> {
    return destroyEmbeddedPostgres(this.directory);
  }

  private async asAdmin(statement: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.server.adminUrl() });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }
}

/** A migrated server of one row's own, which comes back on the same port after whatever was done to it. */
export class OwnCluster {
  private server: EmbeddedPostgres | null = null;

  private constructor(
    readonly directory: string,
    private last: EmbeddedPostgres,
  ) {
    this.server = last;
  }

  /** @param directory where its data lies; made and removed by the caller */
  static async start(directory: string): Promise<OwnCluster> {
    const server = await startEmbeddedPostgres({ dataDir: directory, durable: true, log: () => undefined });
    await migrate(server.url());
    return new OwnCluster(directory, server);
  }

  get url(): string {
    return this.last.url();
  }

  get adminUrl(): string {
    return this.last.adminUrl('posthorn');
  }

  adminUrlOf(database: string): string {
    return this.last.adminUrl(database);
  }

  get port(): number {
    return this.last.port;
  }

  /** `fast` ends sessions and checkpoints; `immediate` is a crash that the server itself performs. */
  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    const server = this.running();
    this.server = null;
    await server.stop(mode);
  }

  /** kill -9 of the postmaster. Its backends find out by themselves. */
  kill(): void {
    process.kill(this.running().pid, 'SIGKILL');
    this.server = null;
  }

  /** After stop or kill: the same data, the same port. */
  async start(): Promise<void> {
    this.server = await startEmbeddedPostgres({
      dataDir: this.directory,
      durable: true,
      log: () => undefined,
    });
    this.last = this.server;
  }

  async restart(mode: 'fast' | 'immediate'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  destroy(): Promise<void> {
    return destroyEmbeddedPostgres(this.directory);
  }

  private running(): EmbeddedPostgres {
    if (this.server === null) throw new Error('Bug: the server is not running');
    return this.server;
  }
}
