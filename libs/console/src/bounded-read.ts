import { Problem } from '@app/contracts';
import { isStatementTimeout } from '@app/persistence';

/**
 * A filter that matches few of very many rows may look through more than the statement's time allows. That is the
 * question's size and not our state, so it is said as such.
 */
export async function boundedRead<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isStatementTimeout(error)) throw error;
    throw new Problem(
      'invalid_request',
      'That is too much to look through. Narrow it by subscriber, endpoint or time.',
    );
  }
}
