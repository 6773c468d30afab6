import type { FailureClass, ReceiverAuth } from '@app/domain';
import { basic, type AccessTokens, type TokenAnswer } from './access-tokens.js';
import type { SendRequest, SendResult } from './http/http-sender.js';

/** Whose request it is, and how it says who we are. */
export interface Authorization {
  readonly id: string;
  readonly auth: ReceiverAuth | null;
}

interface Sender {
  send(request: SendRequest): Promise<SendResult>;
}

const REFUSED_ONCE = 'the access token was refused (401); with a new one the request was repeated once';
const REDACTED = '[redacted]';

/**
 * Sends one request as its endpoint wants to be authorized. For a token that the receiver would not have it is repeated
 * once with a new one, within the same deadline: one attempt all the same, of which the second answer counts.
 */
export class SendAuthorized {
  constructor(
    private readonly sender: Sender,
    private readonly tokens: Pick<AccessTokens, 'get' | 'drop'>,
  ) {}

  send({ id, auth }: Authorization, request: SendRequest): Promise<SendResult> {
    return auth === null ? this.sender.send(request) : this.sendAs(id, auth, request);
  }

  private async sendAs(id: string, auth: ReceiverAuth, request: SendRequest): Promise<SendResult> {
    if (auth.type !== 'oauth2') {
      const value = auth.type === 'basic' ? basic(auth.username, auth.password) : `Bearer ${auth.token}`;
      const secrets = auth.type === 'basic' ? [value.slice('Basic '.length), auth.password] : [auth.token];
      return withoutSecrets(await this.sender.send(authorized(request, value)), secrets);
    }
    const startedAt = performance.now();
    const leftMs = (): number => request.deadlineMs - (performance.now() - startedAt);
    const withToken = async (answer: TokenAnswer): Promise<SendResult> => {
      if (!answer.ok) return failed(answer, startedAt);
      // Node's timers take whole milliseconds, and a deadline of none is none.
      const deadlineMs = Math.max(1, Math.floor(leftMs()));
      const result = await this.sender.send({ ...authorized(request, `Bearer ${answer.token}`), deadlineMs });
      return withoutSecrets(result, [answer.token, auth.clientSecret]);
    };

    const first = await this.tokens.get(id, auth, leftMs());
    let result = await withToken(first);
    if (first.ok && result.statusCode === 401 && leftMs() > 0) {
      this.tokens.drop(id, first.token);
      result = await withToken(await this.tokens.get(id, auth, leftMs()));
      result = { ...result, bodyNote: [REFUSED_ONCE, result.bodyNote].filter(Boolean).join('; ') };
    }
    return { ...result, timings: { ...result.timings, totalMs: performance.now() - startedAt } };
  }
}

function authorized(request: SendRequest, authorization: string): SendRequest {
  return { ...request, headers: { ...request.headers, authorization } };
}

function failed(
  { failure, detail }: { failure: FailureClass; detail: string },
  startedAt: number,
): SendResult {
  const totalMs = performance.now() - startedAt;
  return {
    failure,
    failureDetail: detail,
    responseTruncated: false,
    timings: { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs },
  };
}

// Shorter ones would blacken half of an answer, and are guessed as easily as read.
const SECRET_LENGTH_MIN = 4;

/** A receiver may send back what it got, and what it says is kept and shown. */
function withoutSecrets(result: SendResult, secrets: readonly string[]): SendResult {
  const { responseBody, responseHeaders } = result;
  const wanted = secrets.filter((secret) => secret.length >= SECRET_LENGTH_MIN);
  const clean = (text: string): string =>
    wanted.reduce((said, secret) => said.replaceAll(secret, REDACTED), text);
  return {
    ...result,
    responseHeaders:
      responseHeaders &&
      Object.fromEntries(Object.entries(responseHeaders).map(([name, value]) => [name, clean(value)])),
    responseBody: responseBody && withoutSecretBytes(responseBody, wanted),
  };
}

/** Byte for byte: a body need not be text. */
function withoutSecretBytes(body: Buffer, secrets: readonly string[]): Buffer {
  if (!secrets.some((secret) => body.includes(secret))) return body;
  const text = secrets.reduce(
    (said, secret) => said.replaceAll(Buffer.from(secret).toString('latin1'), REDACTED),
    body.toString('latin1'),
  );
  return Buffer.from(text, 'latin1');
}
