import { randomInt } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { giveTo, type ServerUser } from './server-user.js';

// Below the range from which the kernel takes ports for outgoing connections (32768 on Linux, 49152 on macOS):
// there, the remembered port would now and then belong to somebody's connection at the next start.
const LOWEST = 20_000;
const HIGHEST = 30_000;

/** The port asked for, else the one remembered (URLs that people saved keep working), else a free one. */
export async function choosePort(home: string, wanted: number | undefined): Promise<number> {
  if (wanted !== undefined) {
    if (await isFree(wanted)) return wanted;
    throw new Error(
      `Port ${wanted} on 127.0.0.1, asked for by the embedded PostgreSQL, is taken by another program.`,
    );
  }
  const remembered = Number(await readFile(join(home, 'port'), 'utf8').catch(() => ''));
  if (remembered > 0 && remembered < 65_536 && (await isFree(remembered))) return remembered;
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(LOWEST, HIGHEST);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port between ${LOWEST} and ${HIGHEST} on 127.0.0.1 for the embedded PostgreSQL.`);
}

export async function rememberPort(home: string, port: number, user: ServerUser): Promise<void> {
  await writeFile(join(home, 'port'), String(port));
  await giveTo(user, join(home, 'port'));
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
