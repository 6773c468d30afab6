/** An answer whose text is fixed, because it was also stored. Sent as it is by the hook in http-hooks.ts. */
export class Answer {
  constructor(
    readonly status: number,
    /** JSON, or empty. */
    readonly text: string,
    readonly headers: Record<string, string> = {},
  ) {}
}
