import { ERRORS, FAILURE_MEANINGS, SCOPES, TOKEN_SCOPES, type ApiScope } from '@app/contracts';
import { DEFAULT_RETRY_POLICY, FAILURES, FAILURE_CLASSES } from '@app/domain';

/** The text at the top of the page, for both its readers: who publishes and who receives. */
export function description(): string {
  return `Posthorn delivers events to HTTP endpoints: signed, at least once, retried for about three days, with every attempt on record.

**You receive events?** Press *Authorize* and paste your API key, or the access token that you were given. Create an endpoint, send it a test event, and look at its delivery:
it shows what was sent and what your receiver answered. Rotate its secret, list deliveries, and resend what you missed.

**You publish events?** Register a subscriber for each of your customers, put your event types into the catalogue, and publish.
The requests that this page offers fit
together: create \`acme-corp\`, an endpoint for it and the type \`invoice.paid\`, then publish one.

**Retries.** Every answer but 2xx, and none within the endpoint's timeout (15 s unless you change it), is a failure. Unless the
endpoint or the event type has a retry policy of its own, it is tried again after
${retrySchedule()}, each give or take half, so that a receiver that comes back is not run over, and never before a
\`Retry-After\`. Then the delivery has \`failed\`, and can still be resent. Redirects and 4xx but 408, 425 and 429 fail at once; 410 disables the
endpoint. An endpoint that only fails is left alone for a while and probed, which uses up no attempt:
\`GET /v1/deliveries/{delivery}/explain\` says what a delivery waits for. An event may arrive twice or out of order: its \`webhook-id\` is the same each time.

- **Lists** come in pages, newest first: ask again with \`?cursor=\` and the \`nextCursor\` of the page before, or follow the \`Link\` header.
  Whether there is more only \`nextCursor\` says: a page looks through a bounded number of rows, so one with a filter that few match may be short or empty and yet not the last.
- **Errors** are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems: match on \`code\`; \`errors\` names each wrong field.
- **Every POST** that changes something takes an \`Idempotency-Key\`: after a lost answer send the same request again, and it is done once.
- **Requests are limited.** Answers say what is left in \`RateLimit\`; a 429 says in \`Retry-After\` when to come back.
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
A customer's access token (\`pht_…\`) is bound to one too, ends by itself, and reaches only the operations that say so: \`read\` has the scopes
${scopes(TOKEN_SCOPES.read)}; \`manage\` also ${scopes(TOKEN_SCOPES.manage.slice(TOKEN_SCOPES.read.length))}.

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

function scopes(list: readonly ApiScope[]): string {
  return list.map((scope) => `\`${scope}\``).join(', ');
}

function table(head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const SCOPE_MEANINGS: Record<ApiScope, string> = {
  'events:write': 'publish events',
  'subscribers:read': 'see subscribers',
  'subscribers:write': 'register, change and delete subscribers',
  'endpoints:read': 'see endpoints and the catalogue of event types',
  'endpoints:write': 'create, change and delete endpoints, rotate their secrets, send test events',
  'deliveries:read': 'see events, deliveries and replays',
  'deliveries:resend': 'resend and cancel deliveries, start and cancel replays',
  'secrets:read': 'see the signing secrets of endpoints',
  'metrics:read': 'see the metrics of a process',
  'tokens:write':
    'make, list and revoke access tokens for customers, whose mode takes no more scopes than the key has',
  admin: 'do everything, the catalogue of event types, keys and the audit log included',
};
