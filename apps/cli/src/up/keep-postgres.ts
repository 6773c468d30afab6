import { setTimeout as delay } from 'node:timers/promises';
import type { DatabaseRole } from '@app/contracts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@app/embedded-postgres';
import { CliError, messageOf } from '../cli-error.js';
import { isAlive, markOf, type ProcessMark } from './run-file.js';

const LOOK_EVERY_MS = 1_000;
const AGAIN_MS = 2_000;

/** The embedded PostgreSQL of a data directory, started again on the same port should it die under us. */
export class KeptPostgres {
  private readonly stopping = new AbortController();
  private readonly watching: Promise<void>;

  private constructor(
    private server: EmbeddedPostgres,
    private mark: ProcessMark,
    private readonly dataDir: string,
    private readonly say: (line: string) => void,
  ) {
    this.watching = this.watch();
  }

  /** @throws CliError when it cannot start, or belongs to another process */
  static async start(dataDir: string, say: (line: string) => void): Promise<KeptPostgres> {
    const server = await startOwned(dataDir, say);
    return new KeptPostgres(server, await markOf(server.pid), dataDir, say);
  }

  /** Of the owner, who migrates. */
  get url(): string {
    return this.server.url();
  }

  roleUrl(role: DatabaseRole): string {
    return this.server.roleUrl(role);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.watching;
    await this.server.stop();
  }

  private async watch(): Promise<void> {
    while (await this.pause(LOOK_EVERY_MS)) if (!(await isAlive(this.mark))) await this.startAgain();
  }

  private async startAgain(): Promise<void> {
    this.say('PostgreSQL ended; starting it again');
    do {
      try {
        this.server = await startOwned(this.dataDir, this.say, this.server.port);
        this.mark = await markOf(this.server.pid);
        this.say('PostgreSQL runs again');
        return;
      } catch (error) {
        this.say(messageOf(error));
      }
    } while (await this.pause(AGAIN_MS));
  }

  /** False when it was cut short because we end. */
  private pause(ms: number): Promise<boolean> {
    return delay(ms, true, { signal: this.stopping.signal }).catch(() => false);
  }
}

async function startOwned(
  dataDir: string,
  say: (line: string) => void,
  port?: number,
): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, port, log: say }).catch((error: unknown) => {
    throw new CliError(messageOf(error));
  });
  if (server.owned) return server;
  await server.stop();
  throw new CliError(
    `Another process uses the PostgreSQL in ${dataDir} and is its owner: stop it first, or choose another POSTHORN_DATA_DIR.`,
  );
}
