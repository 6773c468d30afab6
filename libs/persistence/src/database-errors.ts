/** The five-character SQLSTATE or Node's own code, whichever the error or its cause carries. */
function codeOf(error: unknown): string {
  for (
    let at = error, depth = 0;
    at && depth < 5;
    at =
      (at as { cause?: unknown; driverError?: unknown }).cause ??
      (at as { driverError?: unknown }).driverError,
      depth++
  ) {
    const code = (at as { code?: unknown }).code;
    if (typeof code === 'string' && code !== '') return code;
  }
  return '';
}

/** Deadlock or serialization failure: nothing was done, and the same work may be run again. */
export function isTransientConflict(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40P01' || code === '40001';
}

/** Somebody else had locked what was to be locked, for too long or in a circle: sooner or later it is free. */
export function isLockConflict(error: unknown): boolean {
  return isTransientConflict(error) || codeOf(error) === '55P03';
}

/** The unique constraint or index that refused a row, or undefined for any other error. */
export function violatedUnique(error: unknown): string | undefined {
  if (codeOf(error) !== '23505') return undefined;
  for (
    let at = error as { constraint?: string; driverError?: unknown } | undefined;
    at;
    at = at.driverError as typeof at
  )
    if (at.constraint) return at.constraint;
  return '';
}

// Class 08 connection, 53 resources, 57 operator intervention (shutdown, timeout), 55P03 lock timeout, 25006 read only; and a
// conflict with others that several tries have not got past.
const UNAVAILABLE_SQLSTATE = /^(08|53|57)...$|^55P03$|^25006$|^40(001|P01)$/;
const UNAVAILABLE_NODE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'EAI_AGAIN',
  'ENOENT',
  'EACCES',
]);
// pg raises these without a code (pg 8.23, pg-pool 3): the only place where a text decides.
const PG_WITHOUT_CODE =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Query read timeout|Connection ended|Client was closed|Cannot use a pool after calling end|timeout expired|Driver not Connected|Connection is not established)/i;

/** Whether the database cannot be used now, through no fault of the request: answered 503, tried again later. */
export function isConnectionFailure(error: unknown): boolean {
  const code = codeOf(error);
  if (UNAVAILABLE_SQLSTATE.test(code) || UNAVAILABLE_NODE.has(code)) return true;
  if (error instanceof AggregateError) return error.errors.some(isConnectionFailure);
  return error instanceof Error && PG_WITHOUT_CODE.test(error.message);
}

/** The statement ran out of its time: what it asked is too much, or the database too slow. */
export function isStatementTimeout(error: unknown): boolean {
  return codeOf(error) === '57014';
}

/** The data itself was refused (class 22 or 23): trying it again, as it is, cannot work. */
export function isDataError(error: unknown): boolean {
  return /^2[23]...$/.test(codeOf(error));
}
