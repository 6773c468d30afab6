import '../../../version-guard.js';
import { loadConfig } from '@app/config';
import { systemClock, systemRandom } from '@app/domain';
import { createLogger, Metrics } from '@app/observability';
import { createDataSource, Database } from '@app/persistence';
import { DeliverQueue } from '@app/queue';
import { createHttpApp } from '../http-app.js';
import { createDocument } from './document.js';

// Writes the OpenAPI document to standard output. The application is made as always, over a database that nobody connects
// to; it is the built one, because descriptions come from comments and only the build reads them.
const config = loadConfig({});
const database = new Database(
  createDataSource({ url: 'postgres://nowhere', applicationName: 'openapi', poolMax: 1 }),
);
const app = await createHttpApp({
  config,
  database,
  queue: new DeliverQueue(database, { supervise: false, on: () => undefined }),
  logger: createLogger({ level: 'silent', process: 'openapi' }),
  metrics: new Metrics(),
  clock: systemClock,
  random: systemRandom,
});
await app.init();
process.stdout.write(`${JSON.stringify(createDocument(app), null, 2)}\n`);
await app.close();
