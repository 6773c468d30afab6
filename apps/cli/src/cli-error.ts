import { ConfigError } from '@app/config';
import { Problem } from '@app/contracts';
import { isConnectionFailure, StartError } from '@app/persistence';

/** One sentence for the person at the terminal: printed without a stack, then exit code 1. */
export class CliError extends Error {}

/** The sentence of an error that a person can do something about; the stack of one that is a bug of ours. */
export function explain(error: unknown): string {
  if (error instanceof CliError || error instanceof ConfigError || error instanceof StartError)
    return error.message;
  if (error instanceof Problem) return error.detail;
  if (isConnectionFailure(error)) return `The database cannot be used now: ${messageOf(error)}`;
  if ((error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE)
    return `The database refuses its role this: ${messageOf(error)}. It must own its schema to migrate it.`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

const INSUFFICIENT_PRIVILEGE = '42501';

/** The message of an error; of several at once (`localhost` has two addresses), the first that has one. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return messageOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
