import { DUE_CHANNEL, WORKER_ROLE, parseDueNotice, type DueNotice } from '@app/contracts';
import { sessionOptions } from '@app/persistence';
import pg from 'pg';

// Long enough not to hammer a database that restarts, short beside the pump's own poll.
const RECONNECT_MS = 1000;
// A silent connection is found dead after this; polling covers the gap.
const HEARTBEAT_MS = 10_000;

/** Calls `wake` whenever there may be work: on each NOTIFY, and after every (re)connection. */
export class DueListener {
  private client: pg.Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly databaseUrl: string,
    private readonly wake: (notice: DueNotice) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  start(): void {
    void this.connect();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.databaseUrl,
      application_name: 'posthorn-listen',
      keepAlive: true,
      options: sessionOptions(WORKER_ROLE),
      connectionTimeoutMillis: 5000,
      query_timeout: 5000,
    });
    this.client = client;
    client.on('notification', ({ payload }) => this.wake(parseDueNotice(payload ?? '')));
    client.on('error', (error) => this.lost(client, error));
    client.on('end', () => this.lost(client, new Error('the LISTEN connection ended')));
    try {
      await client.connect();
      await client.query(`LISTEN ${DUE_CHANNEL}`);
      this.beat(client);
      // What was announced while we were away was missed.
      this.wake('lanes');
    } catch (error) {
      this.lost(client, error);
    }
  }

  private beat(client: pg.Client): void {
    this.timer = setTimeout(() => {
      client.query('SELECT 1').then(
        () => this.client === client && this.beat(client),
        (error: unknown) => this.lost(client, error),
      );
    }, HEARTBEAT_MS);
  }

  private lost(client: pg.Client, error: unknown): void {
    if (this.stopped || this.client !== client) return;
    this.client = undefined;
    this.onError(error);
    clearTimeout(this.timer);
    void client.end().catch(() => undefined);
    this.timer = setTimeout(() => void this.connect(), RECONNECT_MS);
  }
}
