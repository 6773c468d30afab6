import { createServer } from 'node:net';
import type { Config } from '@app/config';
import { CliError } from '../cli-error.js';

/** Looked at before anything is started, so that the sentence is ours and nothing has to be undone. */
export async function refuseTakenPorts({ HOST, PORT, WORKER_PORT }: Config): Promise<void> {
  if (PORT !== 0 && PORT === WORKER_PORT)
    throw new CliError(`PORT and WORKER_PORT are both ${PORT}: api and worker need one each.`);
  await refuseTaken('PORT', PORT, HOST);
  await refuseTaken('WORKER_PORT', WORKER_PORT, HOST);
}

async function refuseTaken(variable: string, port: number, host: string): Promise<void> {
  const error = await tryListen(port, host);
  if (error === null) return;
  switch (error.code) {
    case 'EADDRINUSE':
      throw new CliError(
        `Port ${port} on ${host} is taken by another program: stop it, or set ${variable} to a free one (0 takes any).`,
      );
    case 'EACCES':
      throw new CliError(`You may not listen on port ${port}: set ${variable} to one above 1023.`);
    default:
      throw new CliError(`HOST ${host} cannot be listened on: ${error.message}`);
  }
}

function tryListen(port: number, host: string): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', resolve);
    probe.listen(port, host, () => probe.close(() => resolve(null)));
  });
}
