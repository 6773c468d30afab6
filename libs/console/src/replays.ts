import { Problem, type Scope } from '@app/contracts';
import type { ReplayDto } from '@app/dto';
import { toPublicId, uuidTimeMs } from '@app/domain';
import {
  replaysRepository,
  type Database,
  type PageRequest,
  type ReplayRow,
  type ReplayState,
  type Tx,
} from '@app/persistence';
import type { Keyed } from './read-deliveries.js';

/** Replays as they are seen and stopped. */
export class Replays {
  constructor(private readonly database: Database) {}

  async list(scope: Scope, state: ReplayState | undefined, page: PageRequest): Promise<Keyed<ReplayDto>[]> {
    const rows = await replaysRepository.list(this.database, scope, state, page);
    return rows.map((row) => ({ key: row.id, item: showReplay(row) }));
  }

  /** @throws Problem not_found */
  async one(scope: Scope, id: string): Promise<ReplayDto> {
    return showReplay(await replaysRepository.find(this.database, scope, id));
  }

  /** Stops a replay after the batch that is under way; what it has moved stays moved. @throws Problem not_found, conflict */
  async cancel(tx: Tx, scope: Scope, id: string): Promise<ReplayDto> {
    const stopped = await replaysRepository.cancel(tx, scope, id);
    const replay = showReplay(await replaysRepository.find(tx, scope, id));
    // Cancelling twice is one cancelling; of one that ran to its end it would be a lie.
    if (!stopped && replay.state === 'done') throw new Problem('conflict', 'The replay is done already.');
    return replay;
  }
}

function showReplay(row: ReplayRow | undefined): ReplayDto {
  if (!row) throw new Problem('not_found', 'There is no replay with this id.');
  const { subscriberId, endpointId, eventType, status, since, until } = row;
  return {
    id: toPublicId('rpl', row.id),
    state: row.state,
    filters: {
      subscriber: subscriberId === null ? null : toPublicId('sub', subscriberId),
      endpoint: endpointId === null ? null : toPublicId('ep', endpointId),
      eventType,
      status,
      since,
      until,
    },
    matched: row.matched,
    // In the end it has looked at all.
    countedTo: row.state === 'done' ? null : row.countedTo,
    lookedTo: lookedTo(row),
    resent: row.resent,
    skipped: row.skipped,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    finishedAt: row.finishedAt,
  };
}

/** How far it is, also where nothing matches for long. */
function lookedTo({ state, afterId, until }: ReplayRow): Date | null {
  if (state === 'done') return until;
  return afterId === null ? null : new Date(uuidTimeMs(afterId));
}
