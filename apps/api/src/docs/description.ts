import { ERRORS, SCOPES, type ApiScope } from '@app/contracts';
import { DEFAULT_RETRY_POLICY, FAILURES, FAILURE_CLASSES, type FailureClass } from '@app/domain';

/** The text at the top of the page, for both its readers: who publishes and who receives. */
export function description(): string {
  return `Posthorn delivers events to HTTP endpoints: signed, at least once, retried for about three days, with every attempt on record.

**You receive events?** Press *Authorize* and paste your API key. Create an endpoint, send it a test event, and look at its delivery:
it shows what was sent and what your receiver answered. Rotate its secret, list deliveries, and resend what you missed.

**You publish events?** Register a subscriber for each of your customers, put your event types into the catalogue, and publish.
The requests that this page offers fit
together: create \`acme-corp\`, an endpoint for it and the type \`invoice.paid\`, then publish one.

**Retries.** Every answer but 2xx, and none within the endpoint's timeout (15 s unless you change it), is a failure. It is tried again after
${retrySchedule()}, each give or take half, so that a receiver that comes back is not run over. Then the
delivery has \`failed\`, and can still be resent. An event may arrive twice or out of order: its \`webhook-id\` is the same each time.

- **Lists** come in pages, newest first: ask again with \`?cursor=\` and the \`nextCursor\` of the page before, or follow the \`Link\` header.
- **Errors** are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems: match on \`code\`; \`errors\` names each wrong field.
- **Every POST** that changes something takes an \`Idempotency-Key\`: after a lost answer send the same request again, and it is done once.
- **A subscriber** is named by its id (\`sub_…\`) or by your own \`externalId\`, wherever one is asked for.

<details><summary><b>Verify a signature</b></summary>

Requests are signed as [Standard Webhooks](https://www.standardwebhooks.com) has it; any of its libraries, or Svix's, verifies them. In Node,
without a library, over the body's bytes as they came:

\`\`\`js
import { createHmac, timingSafeEqual } from 'node:crypto';

const key = Buffer.from(secret.replace('whsec_', ''), 'base64');

function isGenuine(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false; // older than five minutes
  const expected = createHmac('sha256', key).update(\`\${id}.\${timestamp}.\`).update(body).digest();
  return signatures.split(' ').some((each) => {
    const given = Buffer.from(each.replace('v1,', ''), 'base64');
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
\`\`\`

</details>

<details><summary><b>Why an attempt failed</b></summary>

The \`failure\` of deliveries and attempts is one of these.

${table(
  ['failure', 'what happened', 'tried again'],
  FAILURE_CLASSES.map((name) => [
    `\`${name}\``,
    FAILURE_MEANINGS[name],
    FAILURES[name].action === 'retry' ? 'yes' : 'no',
  ]),
)}

</details>

<details><summary><b>Error codes</b></summary>

${table(
  ['code', 'status', 'meaning'],
  Object.entries(ERRORS).map(([code, { status, title }]) => [`\`${code}\``, String(status), title]),
)}

</details>

<details><summary><b>What a key may do</b></summary>

Each operation names the scope that its key needs. A key may be bound to one subscriber: it then sees and changes nothing else.

${table(
  ['scope', 'allows to'],
  SCOPES.map((scope) => [`\`${scope}\``, SCOPE_MEANINGS[scope]]),
)}

</details>`;
}

/** `5 s, 30 s, 2 min, … and 24 h`: the waits between the tries. */
export function retrySchedule(): string {
  const waits = DEFAULT_RETRY_POLICY.delaysSeconds.map((seconds) => {
    if (seconds < 60) return `${seconds} s`;
    return seconds < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`;
  });
  return `${waits.slice(0, -1).join(', ')} and ${waits.at(-1)}`;
}

function table(head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const FAILURE_MEANINGS: Record<FailureClass, string> = {
  dns_nxdomain: 'The name does not exist, or has no address',
  dns_servfail: 'A name server answered with an error',
  dns_timeout: 'No name server answered in time',
  blocked_address: 'The URL leads to an address that is not public',
  blocked_port: 'The URL has a port that is not allowed',
  connect_refused: 'Nothing listens there',
  connect_timeout: 'No connection within 5 s',
  unreachable: 'There is no way to that host',
  tls_cert_expired: 'The certificate has expired, or is not valid yet',
  tls_name_mismatch: 'The certificate is for another name',
  tls_untrusted: 'The certificate is self-signed, or its chain is incomplete',
  tls_handshake: 'The TLS handshake failed',
  reset_before_response: 'The connection ended before an answer began',
  header_timeout: 'An answer began, but its headers did not end in time',
  header_overflow: 'The headers of the answer are too large',
  response_timeout: 'No answer within the timeout',
  incomplete_response: 'The answer broke off, or was not HTTP',
  redirect: 'The answer was a redirect (3xx): it is not followed, change the URL',
  http_4xx: 'The answer was another 4xx',
  retry_later_408_425: 'The answer was 408 or 425',
  gone_410: 'The answer was 410: the endpoint is disabled',
  rate_limited_429: 'The answer was 429',
  http_5xx: 'The answer was another 5xx',
  gateway_502_504: 'The answer was 502 or 504',
  config_invalid: 'The URL, the headers or the secrets of the endpoint make no request',
  payload_too_large_413: 'The answer was 413',
  receiver_abort: 'The answer was not 2xx and said `webhook-delivery: abort-message`',
  expired: 'It was older than its retry policy allows when its turn came',
  internal: 'A fault of ours: it counts against nobody',
};

const SCOPE_MEANINGS: Record<ApiScope, string> = {
  'events:write': 'publish events',
  'subscribers:read': 'see subscribers',
  'subscribers:write': 'register, change and delete subscribers',
  'endpoints:read': 'see endpoints and the catalogue of event types',
  'endpoints:write': 'create, change and delete endpoints, rotate their secrets, send test events',
  'deliveries:read': 'see events, deliveries and replays',
  'deliveries:resend': 'resend and cancel deliveries, start and cancel replays',
  'secrets:read': 'see the signing secrets of endpoints',
  admin: 'do everything, the catalogue of event types included',
};
