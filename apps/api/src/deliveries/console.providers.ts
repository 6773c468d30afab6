import {
  CancelDelivery,
  ReadDeliveries,
  ReadEvents,
  ReadHealth,
  Replays,
  ResendDelivery,
  StartReplay,
} from '@app/console';
import type { Clock, Random } from '@app/domain';
import { Database } from '@app/persistence';
import { DeliverQueue } from '@app/queue';
import type { Provider } from '@nestjs/common';
import { CLOCK, RANDOM } from '../tokens.js';

/** The console stage: what support and customers see and send again. */
export const CONSOLE: Provider[] = [
  {
    provide: ReadDeliveries,
    useFactory: (database: Database) => new ReadDeliveries(database),
    inject: [Database],
  },
  { provide: ReadEvents, useFactory: (database: Database) => new ReadEvents(database), inject: [Database] },
  { provide: CancelDelivery, useFactory: () => new CancelDelivery() },
  { provide: ReadHealth, useFactory: (database: Database) => new ReadHealth(database), inject: [Database] },
  { provide: Replays, useFactory: (database: Database) => new Replays(database), inject: [Database] },
  {
    provide: ResendDelivery,
    useFactory: (queue: DeliverQueue) => new ResendDelivery(queue),
    inject: [DeliverQueue],
  },
  {
    provide: StartReplay,
    useFactory: (clock: Clock, random: Random) => new StartReplay(clock, random),
    inject: [CLOCK, RANDOM],
  },
];
