import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Binaries } from './binaries.js';
import type { Cluster } from './init-cluster.js';
import { setLargeLogsAside } from './log-bound.js';
import { READY_MS, readPidFile, type Postmaster } from './postmaster.js';
import { giveTo, identity, type ServerUser } from './server-user.js';
import { clusterName, SERVER_ENVIRONMENT, serverSettings } from './settings.js';

export interface Launch {
  cluster: Cluster;
  binaries: Binaries;
  user: ServerUser;
  port: number;
  durable: boolean;
  settings: Readonly<Record<string, string>>;
}

/**
 * Starts the server in a session of its own, so that Ctrl-C in the terminal and signals to our process group
 * never reach it: the application drains first and stops it last. `postgres` itself, not pg_ctl: that goes
 * through a shell, and a path with `$` or a quote in it would be a program.
 */
export async function launchPostmaster(
  launch: Launch,
): Promise<{ postmaster: Postmaster } | { reason: string; portTaken: boolean }> {
  const { cluster, port } = launch;
  await setLargeLogsAside(cluster.logDir);
  const startLog = join(cluster.logDir, 'start.log');
  await rm(startLog, { force: true });
  const output = openSync(startLog, 'a', 0o600);
  await giveTo(launch.user, startLog);
  const settings = {
    ...serverSettings({ port, logDir: cluster.logDir, durable: launch.durable }),
    cluster_name: clusterName(cluster.dataDir),
    ...launch.settings,
  };
  const args = [
    '-D',
    cluster.dataDir,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const startedAt = Date.now();
  const server = spawn(launch.binaries.postgres, args, {
    ...identity(launch.user),
    cwd: cluster.home,
    env: SERVER_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  let ended: string | null = null;
  server.once('error', (error) => (ended = error.message));
  server.once('exit', (code, signal) => (ended ??= `exit ${code ?? signal}`));

  while (ended === null && Date.now() - startedAt < READY_MS) {
    const file = await readPidFile(cluster.dataDir);
    if (file !== null && file.pid === server.pid && file.status === 'ready') {
      server.unref();
      return { postmaster: { pid: file.pid, port: file.port } };
    }
    await delay(10);
  }
  if (ended === null) server.kill('SIGQUIT');
  const said = await lastWords(cluster.logDir, startedAt);
  return {
    reason: `PostgreSQL did not start (${ended ?? `not ready after ${READY_MS / 1000} s`}). Its last words: ${said}`,
    portTaken: /could not bind|could not create any TCP\/IP sockets/.test(said),
  };
}

async function lastWords(logDir: string, sinceMs: number): Promise<string> {
  const lines: string[] = [];
  for (const name of await readdir(logDir)) {
    const path = join(logDir, name);
    if ((await stat(path)).mtimeMs < sinceMs - 1000) continue;
    lines.push(...(await readFile(path, 'utf8')).trim().split('\n').slice(-5));
  }
  return lines.join(' | ') || '(none)';
}
