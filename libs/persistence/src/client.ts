import type { Duplex } from 'node:stream';
import pg, { type ClientConfig, type QueryResult } from 'pg';

type Answered = (error: Error | null, result: QueryResult) => void;

/** What pg's own `query` takes beside what its types say: a query of its own making, and a callback last. */
type Send = (statement: unknown, values: unknown, answered: Answered) => void;

/**
 * pg's connection, whose statements leave nothing behind. In `query.callback = (…) => …` V8 makes the function old from its
 * birth, as one that is assigned to a property mostly is for ever; pg does so twice for each statement, for its promise and for
 * `query_timeout`. Once dead such a function keeps all that it can see until the whole heap is looked through:
 * statement, answer, and the request that waited for it. 27 KB of each published event were kept so, and the heap was
 * looked through every five seconds at 200 events/s, which those under way then waited 20 ms for (docs/adr/0016). Here a
 * function is only ever handed over.
 */
export class Client extends pg.Client {
  private readonly answerMsMax: number;

  constructor(config: ClientConfig) {
    // A pool hides the password from enumeration.
    super({ ...config, password: config.password, query_timeout: undefined });
    this.answerMsMax = config.query_timeout ?? 0;
  }

  // Its overloads are pg's; this is what they have in common.
  override query(...[statement, values, answered]: unknown[]): never {
    if (typeof values === 'function') return this.send(statement, undefined, values as Answered) as never;
    if (answered) return this.send(statement, values, answered as Answered) as never;
    const answer = new Promise<QueryResult>((resolve, reject) => {
      this.send(statement, values, (error, result) => (error ? reject(error) : resolve(result)));
    });
    return answer.catch((error: Error) => {
      // As pg does: who asked, not who read the answer.
      Error.captureStackTrace(error);
      throw error;
    }) as never;
  }

  private send(statement: unknown, values: unknown, answered: Answered): void {
    const send = super.query.bind(this) as unknown as Send;
    if (this.answerMsMax === 0) return send(statement, values, answered);
    let isAnswered = false;
    const answer: Answered = (error, result) => {
      clearTimeout(timer);
      if (!isAnswered) answered(error, result);
      isAnswered = true;
    };
    const timer = setTimeout(() => {
      answer(new Error('Query read timeout'), null as never);
      // What was sent behind it would wait as long.
      (this as unknown as { connection: { stream: Duplex } }).connection.stream.destroy();
    }, this.answerMsMax);
    try {
      send(statement, values, answer);
    } catch (error) {
      // Nothing was sent: the connection is none the worse.
      clearTimeout(timer);
      throw error;
    }
  }
}
