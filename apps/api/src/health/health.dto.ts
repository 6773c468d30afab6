/** This process runs. */
export class AliveDto {
  /**
   * Always `up`: what is down does not answer.
   * @example "up"
   */
  status: string;
}

/** This process can serve. */
export class ReadyDto {
  /**
   * `up` when each check is.
   * @example "up"
   */
  status: string;

  /**
   * Each check: the database answers, its migrations are done, the queue is there.
   * @example { "database": "up", "migrations": "up", "queue": "up" }
   */
  checks: Record<string, string>;
}
