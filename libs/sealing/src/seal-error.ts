/** Why something stays closed. Values and keys are never part of the text. */
export type SealProblem = 'unknown_kek' | 'not_authentic' | 'no_keks';

export class SealError extends Error {
  override readonly name = 'SealError';

  constructor(
    readonly problem: SealProblem,
    message: string,
  ) {
    super(message);
  }
}
