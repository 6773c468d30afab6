import { setTimeout as delay } from 'node:timers/promises';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@app/embedded-postgres';
import { CliError, messageOf } from '../cli-error.js';
import { isAlive, markOf } from './run-file.js';

const LOOK_EVERY_MS = 1_000;
const AGAIN_MS = 2_000;

/** The embedded PostgreSQL of this data directory, started again on the same port should it die under us. */
export async function keepPostgres(
  dataDir: string,
  say: (line: string) => void,
): Promise<{ url: string; stop(): Promise<void> }> {
  let server = await startOwned(dataDir, say);
  let mark = await markOf(server.pid);
  let stopping = false;
  let looking: Promise<void> = Promise.resolve();

  const look = async (): Promise<void> => {
    if (await isAlive(mark)) return;
    say('PostgreSQL ended; starting it again');
    while (!stopping) {
      try {
        server = await startOwned(dataDir, say, server.port);
        mark = await markOf(server.pid);
        return say('PostgreSQL runs again');
      } catch (error) {
        say(messageOf(error));
        await delay(AGAIN_MS);
      }
    }
  };
  let timer: NodeJS.Timeout;
  const lookLater = () => {
    timer = setTimeout(() => (looking = look().then(lookLater)), LOOK_EVERY_MS);
  };
  lookLater();

  return {
    url: server.url(),
    stop: async () => {
      stopping = true;
      clearTimeout(timer);
      await looking;
      clearTimeout(timer);
      await server.stop();
    },
  };
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
