import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { FaultContext } from './fault-context.js';
import { builtFile } from '../support/child.js';

// More than its line can hold: the kernel drops what comes then, and says nothing.
const CONNECTIONS = 8;
const FULL_AFTER_MS = 400;

/**
 * A port that swallows what is sent to it, as behind a firewall that drops: its process sleeps, and its line of connections
 * to accept is full. It needs no rights and no packet leaves loopback.
 */
export async function startSilentPort(context: FaultContext): Promise<number> {
  const child = await context.own(
    () => Promise.resolve(fork(builtFile('test/faults/silent-port.main.js'))),
    end,
  );
  const [port] = (await once(child, 'message')) as [number];
  process.kill(child.pid!, 'SIGSTOP');
  const sockets = await context.own(
    () => Promise.resolve<Socket[]>([]),
    (all) => Promise.resolve(all.forEach((socket) => socket.destroy())),
  );
  let opened = 0;
  for (let n = 0; n < CONNECTIONS; n++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).on('connect', () => opened++);
    sockets.push(socket);
  }
  let before = -1;
  await context.until(
    'the line is full',
    async () => {
      if (before === opened && opened > 0) return true;
      before = opened;
      await new Promise((resolve) => setTimeout(resolve, FULL_AFTER_MS));
      return false;
    },
    5_000,
  );
  if (opened === CONNECTIONS)
    throw new Error('This kernel accepts more than it was asked to: no port is silent');
  return port;
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}
