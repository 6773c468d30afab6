/**
 * Payloads that break parsers: each is accepted or refused with 4xx when it is published, no process dies of it, and the bytes that
 * were published are the bytes that are signed and arrive.
 */
import { connect } from 'node:net';
import { sha256 } from '../support/fixtures.js';
import { deliveriesOf } from './cases.js';
import type { FaultRow } from './fault-row.js';

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

/** The text of `data`, and what publishing it is answered. */
const PAYLOADS: Record<string, [data: string, status: number | 'either']> = {
  'half a megabyte': [`"${'x'.repeat(512 * 1024 - 2)}"`, 202],
  'half a megabyte and a byte': [`"${'x'.repeat(512 * 1024 - 1)}"`, 413],
  'a megabyte': [`"${'x'.repeat(1 << 20)}"`, 413],
  'many small': [`[${'0,'.repeat(200_000)}0]`, 202],
  '500 deep': [nested(500), 202],
  '100,000 deep': [nested(100_000), 'either'],
  '100,000 objects deep': ['{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000), 'either'],
  'an escaped NUL': ['"a\\u0000b"', 202],
  'a name that is NUL': ['{"\\u0000":1}', 202],
  'lone surrogates': ['"\\ud800 \\udfff"', 202],
  'huge numbers': ['[1e999999,-1e999999,1e-999999,123456789012345678901234567890.000000000000000001]', 202],
  'minus zero': ['[-0,-0.0,1E+2,1.10]', 202],
  'names that stand twice': ['{"a":1,"a":2,"a":{"a":3,"a":4}}', 202],
  prototypes: ['{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}', 202],
  'escaped prototypes': ['{"\\u005f_proto__":{"polluted":true}}', 202],
  'blanks within': ['  { "a" :\t[ 1 ,\r\n 2 ] }  ', 202],
  'its own envelope': ['{"data":{"data":1},"subscriber":"x","id":"evt_x"}', 202],
  'closing braces in texts': ['"}]}\\"}{["', 202],
  'text beyond the BMP': ['"\u{1f600} e\u0301 \u202e\ufeff \u2028\u2029"', 202],
  nothing: ['null', 202],
  'no JSON': ['{a:1}', 400],
  'a single quote': ["'a'", 400],
  NaN: ['NaN', 400],
  'a comma too many': ['[1,]', 400],
  'a raw NUL': ['"\u0000"', 400],
  'a raw line break': ['"\n"', 400],
  'an open text': ['"', 400],
};

export const row: FaultRow = {
  row: 36,
  name: 'poison-payloads',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    const api = await context.startApi();
    const [endpoint] = await context.subscribe([receiver.url('/ok')]);
    await context.startWorker();
    const published = new Map<string, string>();
    let refused = 0;
    const publish = (data: string) =>
      context.client.request<{ id: string; code?: string }>(
        'POST',
        '/v1/events',
        `{"subscriber":"c","type":"thing.happened","data":${data}}`,
      );
    for (const [name, [data, status]] of Object.entries(PAYLOADS)) {
      const answer = await publish(data);
      context.check(
        status === 'either' ? [202, 400, 413].includes(answer.status) : answer.status === status,
        `${name}: was answered ${answer.status}`,
        answer.status === 202 ? undefined : answer.body,
      );
      if (answer.status === 202) published.set(answer.body.id, data.trim());
      else refused++;
    }
    // In a batch a bad one is refused alone or with its batch; never does one become another.
    const good = ['{"n":1}', '"\\ud800"', '{"__proto__":1}'];
    const events = good.map((data) => `{"subscriber":"c","type":"thing.happened","data":${data}}`).join(',');
    const batch = await context.client.post<{ results: { id: string }[] }>(
      '/v1/events/batch',
      `{"events":[${events}]}`,
    );
    for (const [at, { id }] of batch.results.entries()) published.set(id, good[at]);
    const { bytesRefused } = await publishBytes(api.port, context.adminKey);
    context.check(bytesRefused, 'bytes that are no UTF-8 were accepted');
    await context.settled();

    const journal = await receiver.journal();
    context.check(journal.length === published.size, 'each arrives once', [journal.length, published.size]);
    const shown = new Map((await deliveriesOf(context, endpoint)).map((delivery) => [delivery.id, delivery]));
    for (const { headers, body } of journal) {
      const id = headers['webhook-id'] as string;
      const data = published.get(id)!;
      const text = body.toString('utf8');
      const at = text.indexOf('"data":') + '"data":'.length;
      context.check(
        sha256(Buffer.from(text.slice(at, -1))) === sha256(Buffer.from(data)) && text.endsWith('}'),
        'the bytes that were published are those that arrive',
        data.slice(0, 100),
      );
      const { request } = shown.get(headers['posthorn-delivery'] as string)!;
      context.check(
        sha256(Buffer.from(request!.body)) === sha256(body),
        'the API shows what was sent',
        data.slice(0, 100),
      );
    }
    context.check(!('polluted' in {}), 'a prototype was changed here');
    const figures = await context.invariants({ accepted: published.keys() });
    return { ...figures, payloads: Object.keys(PAYLOADS).length + good.length + 1, refused: refused + 1 };
  },
};

/** By hand: a client would not send bytes that are no UTF-8 as JSON. */
async function publishBytes(port: number, key: string): Promise<{ bytesRefused: boolean }> {
  const body = Buffer.concat([
    Buffer.from('{"subscriber":"c","type":"thing.happened","data":"'),
    Buffer.from([0xff, 0xc0, 0xed, 0xa0, 0x80]),
    Buffer.from('"}'),
  ]);
  const head = [
    'POST /v1/events HTTP/1.1',
    'host: 127.0.0.1',
    `authorization: Bearer ${key}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
    'connection: close',
  ];
  const socket = connect(port, '127.0.0.1');
  socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]));
  let said = '';
  for await (const chunk of socket) said += String(chunk);
  return { bytesRefused: said.startsWith('HTTP/1.1 400') };
}
