import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { systemClock } from '@app/domain';
import { verify } from '@app/signing';

/** One request as the receiver saw and answered it. */
export interface Arrival {
  webhookId: string;
  eventType: string;
  attempt: number;
  answered: number;
  verified: boolean;
}

export interface DemoReceiver {
  readonly url: string;
  /** What requests must be signed with. Until it is known nothing is taken. */
  secret: string;
  close(): Promise<void>;
}

/** A customer's server as it should be: checks the signature over the bytes it got before it believes a word. */
export async function startDemoReceiver(
  failsTwice: (eventType: string) => boolean,
  onArrival: (arrival: Arrival) => void,
): Promise<DemoReceiver> {
  const refusals = new Map<string, number>();
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(request);
    const checked = verify(request.headers, body, [receiver.secret], { now: systemClock.now() });
    const arrival = {
      webhookId: String(request.headers['webhook-id']),
      eventType: checked.ok ? (JSON.parse(body.toString()) as { type: string }).type : '?',
      attempt: Number(request.headers['posthorn-attempt']),
      answered: 200,
      verified: checked.ok,
    };
    const refused = refusals.get(arrival.webhookId) ?? 0;
    if (!checked.ok) arrival.answered = 400;
    else if (failsTwice(arrival.eventType) && refused < 2) {
      refusals.set(arrival.webhookId, refused + 1);
      arrival.answered = 503;
    }
    response
      .writeHead(arrival.answered, { 'content-type': 'text/plain' })
      .end(arrival.answered === 200 ? 'ok' : 'not now');
    onArrival(arrival);
  };
  const server = createServer(
    (request, response) => void receive(request, response).catch(() => response.destroy()),
  );
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks`,
    secret: '',
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}
