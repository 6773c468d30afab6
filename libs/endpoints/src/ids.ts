import { newId, type Clock, type Random } from '@app/domain';

/** Makes the ids of a stage. */
export class Ids {
  constructor(
    readonly clock: Clock,
    readonly random: Random,
  ) {}

  next(): string {
    return newId(this.clock.now().getTime(), this.random);
  }
}
