import { createServer } from 'node:net';
import type { Config } from '@app/config';
import { CliError } from '../cli-error.js';

/** Looked at before anything is started, so that the sentence is ours and nothing has to be undone. */
export async function refuseTakenPorts({ HOST, PORT, WORKER_PORT, METRICS_PORT }: Config): Promise<void> {
  const ports = Object.entries({ PORT, WORKER_PORT, METRICS_PORT });
  for (const [at, [name, port]] of ports.entries()) {
    if (port === null) continue;
    const same = ports.slice(0, at).find(([, other]) => other === port);
    if (same && port !== 0)
      throw new CliError(`${same[0]} and ${name} are both ${port}: each needs its own.`);
    await refuseTaken(name, port, HOST);
  }
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
