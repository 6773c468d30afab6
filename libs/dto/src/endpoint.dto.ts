import type { AutoDisableDto, OnFailureDto, RateLimitDto } from './endpoint-policies.dto.js';
import type { ShownAuthDto, ShownSignatureHeaderDto, ShownTlsDto } from './endpoint-credentials.dto.js';
import type { RetryPolicyDto } from './retry-policy.dto.js';

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
   * @example "https://hooks.acme.example.com/posthorn"
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
   * The signatures in `webhook-signature`: `v1` (HMAC, verified with the secret), `v1a` (ed25519, verified with the public key).
   * @example ["v1"]
   */
  signatures: ('v1' | 'v1a')[];

  /**
   * Further headers with a signature, for receivers that were written for somebody else's.
   * @example []
   */
  signatureHeaders: ShownSignatureHeaderDto[];

  /** What is sent in `authorization`, its secret masked; null: nothing. */
  auth: ShownAuthDto | null;

  /** How TLS is spoken to it; null: without a client certificate, and public authorities vouch for it. */
  tls: ShownTlsDto | null;

  /**
   * How many seconds one attempt may take in all.
   * @example 15
   */
  timeoutSeconds: number;

  /** Its retry policy as it was set; null: it has none of its own. */
  retryPolicy: RetryPolicyDto | null;

  /**
   * The policy that its deliveries follow, complete: its own, or the default. When it has none of its own, deliveries of an
   * event type with a policy follow that one.
   */
  retryPolicyInEffect: RetryPolicyDto;

  /** How much it takes; null: there is no limit. */
  rateLimit: RateLimitDto | null;

  /**
   * Whether it gets events one after the other.
   * @example false
   */
  ordered: boolean;

  /**
   * At an ordered endpoint: whether those behind a failed delivery wait (`block`) or follow (`skip`).
   * @example "block"
   */
  orderedFailure: 'block' | 'skip';

  /**
   * How many percent of its attempts may be retries.
   * @example 100
   */
  retryBudgetPercent: number;

  /** Who is told when a delivery has failed for good; null: nobody. */
  onFailure: OnFailureDto | null;

  /** When it is disabled because it only fails; null: never. */
  autoDisable: AutoDisableDto | null;

  /**
   * How it has to prove that it wants events before any is sent; `none`: it need not.
   * @example "none"
   */
  verification: 'none' | 'challenge' | 'cloudevents';

  /**
   * When it last proved it, for the URL that it has; null: it has not.
   * @example null
   */
  verifiedAt: Date | null;

  /**
   * Notes of your own.
   * @example { "team": "billing" }
   */
  metadata: Record<string, string>;

  /**
   * `enabled`: events are sent. `paused`: they are held until it is resumed. `unverified`: they are held until it is
   * verified. `disabled`: they are cancelled.
   * @example "enabled"
   */
  status: 'enabled' | 'disabled' | 'paused' | 'unverified';

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

  /**
   * What it verifies `v1a` signatures with; null when the endpoint has none. Anybody may know it.
   * @example null
   */
  publicKey: string | null;
}

/** A replay to be posted to `/v1/replays`, as it is. */
export class MissedReplayDto {
  /**
   * The endpoint.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  endpoint: string;

  /**
   * What was cancelled.
   * @example "cancelled"
   */
  status: 'cancelled';

  /**
   * From the first one missed on.
   * @example "2026-11-22T08:00:00.000Z"
   */
  since: Date;

  /**
   * Until it was enabled.
   * @example "2026-11-22T12:00:00.000Z"
   */
  until: Date;
}

/** What was cancelled while an endpoint was disabled. */
export class MissedDto {
  /**
   * How many deliveries; 10000 means that many or more.
   * @example 1042
   */
  deliveries: number;

  /**
   * When the first of them was created, or somewhat earlier.
   * @example "2026-11-22T08:00:00.000Z"
   */
  since: Date;

  /**
   * When the endpoint was enabled.
   * @example "2026-11-22T12:00:00.000Z"
   */
  until: Date;

  /** Post it to `/v1/replays` to have them sent after all. */
  replay: MissedReplayDto;
}

/** An endpoint that was enabled, and what it missed. */
export class EnabledEndpointDto extends EndpointDto {
  /** What was cancelled meanwhile; null when nothing was, or it was not disabled. */
  missed: MissedDto | null;
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
