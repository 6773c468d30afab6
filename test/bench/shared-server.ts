import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../libs/embedded-postgres/src/index.js';
import { migrateDatabase } from '../support/processes.js';
import { ask, COUNTING } from './cost.js';
import type { BenchOptions } from './options.js';
import { destroyScratch, makeScratch } from './scratch.js';

/** --smoke: one server, migrated once; each scenario has a copy of its database. */
export interface SharedServer {
  readonly directory: string;
  readonly cluster: EmbeddedPostgres;
  newDatabase(): Promise<string>;
}

let shared: Promise<SharedServer> | undefined;

export function sharedServer(options: BenchOptions, log: (line: string) => void): Promise<SharedServer> {
  return (shared ??= start(options, log));
}

export async function removeSharedServer(): Promise<void> {
  const server = await shared?.catch(() => null);
  shared = undefined;
  if (!server) return;
  await server.cluster.stop('immediate');
  await destroyScratch(server.directory);
}

async function start(options: BenchOptions, log: (line: string) => void): Promise<SharedServer> {
  const directory = await makeScratch(options.dir);
  try {
    const cluster = await startEmbeddedPostgres({
      dataDir: directory,
      durable: true,
      settings: COUNTING,
      log,
    });
    await migrateDatabase(cluster.url());
    let databases = 0;
    const newDatabase = async () => {
      const name = `bench_${++databases}`;
      await ask(cluster.adminUrl(), `CREATE DATABASE ${name} TEMPLATE posthorn OWNER posthorn`);
      return name;
    };
    return { directory, cluster, newDatabase };
  } catch (error) {
    await destroyScratch(directory);
    throw error;
  }
}
