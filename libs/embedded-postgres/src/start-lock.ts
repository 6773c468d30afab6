import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

// The slowest start seen is crash recovery of a large cluster; a second starter should outwait it.
const WAIT_MS = 120_000;

/**
 * One start per data directory at a time, so that the look at a stale pid file and its removal are one step.
 * A name in Linux's abstract socket space, because the kernel frees it when its holder dies, however it dies:
 * a lock file would itself go stale. Other systems go without; two simultaneous first starts are on their own.
 */
export async function holdStartLock(dataDir: string): Promise<{ release(): void }> {
  if (process.platform !== 'linux') return { release: () => {} };
  const name = `\0posthorn-start-${createHash('sha256').update(dataDir).digest('hex')}`;
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await delay(50)) {
    const server = await tryListen(name);
    if (server !== null) return { release: () => void server.close() };
  }
  throw new Error(
    `Another process has been starting PostgreSQL in ${dataDir} for ${WAIT_MS / 1000} seconds.`,
  );
}

function tryListen(name: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(name, () => resolve(server.unref()));
  });
}
