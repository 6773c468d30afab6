import type { ErrorCode } from '@app/contracts';
import { ApiExtension } from '@nestjs/swagger';

/** Read and removed by docs/declare-problems.ts, which writes one answer per status with an example per code. */
export const PROBLEMS_EXTENSION = 'x-problems';

/** Read and removed by docs/declare-problems.ts: such a POST takes no Idempotency-Key. */
export const CHANGES_NOTHING_EXTENSION = 'x-changes-nothing';

/** A POST that only computes: asked twice it answers the same. */
export const ChangesNothing = () => ApiExtension(CHANGES_NOTHING_EXTENSION, true);

/**
 * The codes that this route may answer. What follows from its shape is added by itself: the key (401, 403), our own
 * state (500, 503), a body (invalid_json, 413, 415), an Idempotency-Key on POST (409, 422), a cursor on lists.
 */
export const ApiProblems = (...codes: ErrorCode[]) => ApiExtension(PROBLEMS_EXTENSION, codes);
