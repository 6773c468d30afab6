/** One field that is wrong. */
export class FieldProblemDto {
  /**
   * A JSON pointer into the body, or the name of a query parameter.
   * @example "/url"
   */
  pointer: string;

  /**
   * What would be right.
   * @example "must start with https://"
   */
  detail: string;
}

/** Every error: RFC 9457 problem details. Match on `code`; texts may change. */
export class ProblemDto {
  /**
   * `urn:posthorn:problem:` and the code.
   * @example "urn:posthorn:problem:invalid_request"
   */
  type: string;

  /**
   * What the code means, the same each time.
   * @example "The request is not valid"
   */
  title: string;

  /**
   * The HTTP status.
   * @example 400
   */
  status: number;

  /**
   * What happened this time.
   * @example "`/name` must not be blank."
   */
  detail: string;

  /**
   * The path that was asked for.
   * @example "/v1/subscribers"
   */
  instance: string;

  /**
   * The stable code to match on.
   * @example "invalid_request"
   */
  code: string;

  /**
   * Names this request in our logs; also in the header `x-request-id`.
   * @example "0193cfa4-7e30-7d6f-9b6e-4a4d4e2bb1a2"
   */
  requestId: string;

  /** The fields that are wrong, when it was about fields. */
  errors?: FieldProblemDto[];

  /**
   * The bound that was passed, when it was about one.
   * @example 250
   */
  limit?: number;

  /**
   * The rate limits that are used up, by the names of the `RateLimit-Policy` header.
   * @example ["key"]
   */
  'violated-policies'?: string[];
}
