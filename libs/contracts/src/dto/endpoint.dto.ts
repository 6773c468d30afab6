/** A URL that receives events. */
export class EndpointDto {
  /**
   * The id of the endpoint.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string;

  /**
   * The subscriber it belongs to.
   * @example "sub_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  subscriber: string;

  /**
   * Where events are posted to.
   * @example "https://hooks.acme.example/posthorn"
   */
  url: string;

  /**
   * What people call it; may be empty.
   * @example "Billing, production"
   */
  description: string;

  /**
   * The events it gets.
   * @example ["invoice.*", "customer.created"]
   */
  eventTypes: string[];

  /**
   * The headers sent with every delivery, their values masked.
   * @example { "x-tenant": "••••••" }
   */
  headers: Record<string, string>;

  /**
   * How many seconds one attempt may take in all.
   * @example 15
   */
  timeoutSeconds: number;

  /**
   * Notes of your own.
   * @example { "team": "billing" }
   */
  metadata: Record<string, string>;

  /**
   * `enabled`: events are sent. `paused`: they are held until it is resumed. `disabled`: they are cancelled.
   * @example "enabled"
   */
  status: 'enabled' | 'disabled' | 'paused';

  /**
   * Why it is disabled, when somebody said so.
   * @example null
   */
  disabledReason: string | null;

  /**
   * Since when it is disabled, or null.
   * @example null
   */
  disabledAt: Date | null;

  /**
   * Since when it is paused, or null.
   * @example null
   */
  pausedAt: Date | null;

  /**
   * When it was registered.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it was last changed.
   * @example "2026-11-22T09:30:00.000Z"
   */
  updatedAt: Date;
}

/** An endpoint just registered, with its secret. */
export class CreatedEndpointDto extends EndpointDto {
  /**
   * What your receiver verifies signatures with. Keep it; afterwards only keys with the scope `secrets:read` can see it.
   * @example "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
   */
  secret: string;
}

/** Endpoints, newest first. */
export class EndpointPageDto {
  /** The items of this page. */
  data: EndpointDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
