import { createHash } from 'node:crypto';
import type { Clock, FailureClass, OAuth2Auth, Random } from '@app/domain';
import type { SendRequest, SendResult } from './http/http-sender.js';

/** A token, or why there is none. */
export type TokenAnswer =
  | { readonly ok: true; readonly token: string }
  | { readonly ok: false; readonly failure: FailureClass; readonly detail: string };

interface Entry {
  /** Of the settings that its token was given for. Changed settings are another entry. */
  readonly settings: string;
  token: { readonly value: string; readonly expiresAtMs: number } | null;
  /** From then on another one is fetched beside the attempts that still use this one. */
  refreshAtMs: number;
  usedAtMs: number;
  fetching: Promise<TokenAnswer> | null;
}

interface TokenSender {
  send(request: SendRequest): Promise<SendResult>;
}

// Long enough for a slow token server, shorter than most attempts.
const FETCH_MS = 10_000;
// RFC 6749 lets a server leave it out. Short: a token kept too long is refused, one kept too briefly only costs a request.
const LIFETIME_SECONDS_DEFAULT = 300;
const LIFETIME_SECONDS_MAX = 86_400;
// Before its end by a tenth of its life, at most a minute, times one to two: workers that got tokens together do not ask together.
const MARGIN_OF_LIFE = 0.1;
const MARGIN_MS_MAX = 60_000;
// A token server that fails while the old token still holds is not asked for each attempt.
const REFRESH_AGAIN_MS = 5000;
// Of a few hundred bytes each. The oldest goes first, and its endpoint fetches again.
const ENTRIES_MAX = 10_000;
// A token that has ended is let go, and one of an endpoint that asks for it no more: it may be deleted. Most tokens live for an
// hour at most, so that hardly any is fetched again for that, however seldom its endpoint is sent to.
const UNUSED_MS = 3_600_000;
const SWEEP_EVERY_MS = 30_000;
const TOKEN_LENGTH_MAX = 8192;

/**
 * OAuth2 access tokens by client credentials: one per endpoint, in this process's memory only. Attempts that need one at
 * the same time share one request for it. A token is used until its end at most, kept no longer than it is used, and never by another endpoint, whose
 * settings may be the same but whose customer need not be.
 */
export class AccessTokens {
  private readonly entries = new Map<string, Entry>();
  private sweeping: NodeJS.Timeout | undefined;

  constructor(
    private readonly sender: TokenSender,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly userAgent: string,
  ) {}

  /** Waits for a token at most so long. Never throws for what a token server does. */
  async get(endpointId: string, auth: OAuth2Auth, waitMs: number): Promise<TokenAnswer> {
    const entry = this.entryOf(endpointId, auth);
    const nowMs = this.clock.now().getTime();
    entry.usedAtMs = nowMs;
    if (entry.token === null || nowMs >= entry.token.expiresAtMs)
      return within(waitMs, this.fetched(entry, auth));
    if (nowMs >= entry.refreshAtMs) void this.fetched(entry, auth);
    return { ok: true, token: entry.token.value };
  }

  /** The receiver would not have this one. Whoever has fetched another one since keeps that. */
  drop(endpointId: string, token: string): void {
    const entry = this.entries.get(endpointId);
    if (entry?.token?.value === token) entry.token = null;
  }

  private entryOf(endpointId: string, auth: OAuth2Auth): Entry {
    const settings = createHash('sha256').update(JSON.stringify(auth)).digest('base64url');
    const known = this.entries.get(endpointId);
    if (known?.settings === settings) return known;
    const entry: Entry = { settings, token: null, refreshAtMs: 0, usedAtMs: 0, fetching: null };
    this.entries.delete(endpointId);
    if (this.entries.size >= ENTRIES_MAX) this.entries.delete(this.entries.keys().next().value!);
    this.entries.set(endpointId, entry);
    this.sweepLater();
    return entry;
  }

  /** By a timer: it also runs where nothing is sent any more. It keeps no process alive. */
  private sweepLater(): void {
    this.sweeping ??= setTimeout(() => this.sweep(), SWEEP_EVERY_MS).unref();
  }

  private sweep(): void {
    this.sweeping = undefined;
    const nowMs = this.clock.now().getTime();
    for (const [endpointId, { token, usedAtMs, fetching }] of this.entries) {
      const isOver = token === null || nowMs >= token.expiresAtMs || nowMs - usedAtMs >= UNUSED_MS;
      if (isOver && fetching === null) this.entries.delete(endpointId);
    }
    if (this.entries.size > 0) this.sweepLater();
  }

  private fetched(entry: Entry, auth: OAuth2Auth): Promise<TokenAnswer> {
    entry.fetching ??= this.fetch(entry, auth).finally(() => (entry.fetching = null));
    return entry.fetching;
  }

  private async fetch(entry: Entry, auth: OAuth2Auth): Promise<TokenAnswer> {
    // From before the request: the server counts from when it answers, which is later.
    const askedAtMs = this.clock.now().getTime();
    const result = await this.sender.send(tokenRequest(auth, this.userAgent));
    const answer = readAnswer(result);
    if (!answer.ok) {
      entry.refreshAtMs = this.clock.now().getTime() + REFRESH_AGAIN_MS;
      return answer;
    }
    const lifeMs = answer.lifetimeSeconds * 1000;
    const marginMs = Math.min(lifeMs * MARGIN_OF_LIFE, MARGIN_MS_MAX) * (1 + this.random.next());
    entry.token = { value: answer.token, expiresAtMs: askedAtMs + lifeMs };
    entry.refreshAtMs = askedAtMs + lifeMs - marginMs;
    return { ok: true, token: answer.token };
  }
}

function within(waitMs: number, answer: Promise<TokenAnswer>): Promise<TokenAnswer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => resolve(unavailable('no token before the deadline of the attempt')),
      Math.max(0, waitMs),
    );
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** RFC 6749, 4.4.2. Its public roots are Node's: an endpoint's own authority vouches for the endpoint only. */
function tokenRequest(auth: OAuth2Auth, userAgent: string): SendRequest {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  if (auth.scope !== undefined) form.set('scope', auth.scope);
  if (auth.audience !== undefined) form.set('audience', auth.audience);
  const headers: Record<string, string> = {
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json',
    'accept-encoding': 'identity',
    'user-agent': userAgent,
  };
  if (auth.clientAuth === 'post') {
    form.set('client_id', auth.clientId);
    form.set('client_secret', auth.clientSecret);
  } else headers.authorization = basic(formEncoded(auth.clientId), formEncoded(auth.clientSecret));
  return { url: auth.tokenUrl, headers, body: Buffer.from(form.toString()), deadlineMs: FETCH_MS };
}

/** The value of `authorization` of RFC 7617. */
export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** RFC 6749, 2.3.1: id and secret are form-encoded before they are joined, so that a colon in one does not end it. */
function formEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1);
}

type Read = { ok: true; token: string; lifetimeSeconds: number } | Extract<TokenAnswer, { ok: false }>;

function readAnswer(result: SendResult): Read {
  const { statusCode, failure } = result;
  if (statusCode === undefined) {
    // A URL that may not be dialled is the customer's to change, as an endpoint's own is; anything else is a server that is not there.
    const own = failure !== null && OF_THE_URL.has(failure);
    return {
      ok: false,
      failure: own ? failure : failure === 'internal' ? 'internal' : 'token_unavailable',
      detail: `token URL: ${result.failureDetail ?? String(failure)}`,
    };
  }
  const body = result.responseTruncated ? undefined : parsed(result.responseBody);
  if (statusCode === 400 || statusCode === 401 || statusCode === 403) return refused(statusCode, body);
  if (statusCode !== 200) return unavailable(`the token URL answered ${statusCode}`);
  if (body === undefined) return unavailable('the token URL answered no JSON object');
  const { access_token: token, token_type: type, expires_in: expiresIn } = body;
  if (typeof token !== 'string' || token.length > TOKEN_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(token))
    return unavailable('the answer of the token URL has no access_token that a header can carry');
  if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer'))
    return unavailable('the token URL gives tokens of another type than bearer');
  return { ok: true, token, lifetimeSeconds: lifetimeOf(expiresIn) };
}

const OF_THE_URL: ReadonlySet<FailureClass> = new Set(['blocked_address', 'blocked_port', 'config_invalid']);

function parsed(body: Buffer | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(String(body));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Some servers write it as a text. What is no number is taken for absent; what is over already is used once and not kept. */
function lifetimeOf(expiresIn: unknown): number {
  const seconds =
    typeof expiresIn === 'string' && /^\d{1,10}$/.test(expiresIn) ? Number(expiresIn) : expiresIn;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return LIFETIME_SECONDS_DEFAULT;
  return Math.min(Math.max(seconds, 0), LIFETIME_SECONDS_MAX);
}

// RFC 6749, 5.2. Only these are repeated: anything else the server says may be our own secret.
const ERRORS: ReadonlySet<unknown> = new Set([
  ...'invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope'.split(
    ' ',
  ),
  ...'invalid_target access_denied'.split(' '),
]);

function refused(statusCode: number, body: Record<string, unknown> | undefined): TokenAnswer & { ok: false } {
  const error = ERRORS.has(body?.error) ? `: ${String(body!.error)}` : '';
  return { ok: false, failure: 'token_refused', detail: `the token URL answered ${statusCode}${error}` };
}

function unavailable(detail: string): TokenAnswer & { ok: false } {
  return { ok: false, failure: 'token_unavailable', detail };
}
