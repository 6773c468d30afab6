import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import type { SocketOpener } from '../../libs/delivery/src/http/guarded-dial.js';

/** One socket that was asked for. */
export interface Dialled {
  address: string;
  port: number;
  /** null for plain http. */
  servername: string | null;
}

export interface ReceivedRequest {
  method: string;
  host: string;
  path: string;
  headers: IncomingMessage['headers'];
  /** Also of headers that came twice. */
  rawNames: string[];
}

export interface Recorder {
  /** To be put under the guard. */
  readonly sockets: SocketOpener;
  readonly dialled: Dialled[];
  readonly received: ReceivedRequest[];
  /** Of the receiver, which listens on 127.0.0.1 for plain http; a real connect can be tried with it. */
  readonly port: number;
  /** Connections that its listeners took, dialled by whom ever. */
  connections(): number;
  forget(): void;
  stop(): Promise<void>;
}

const fixture = (name: string): Buffer =>
  readFileSync(join('libs/delivery/src/http/fixtures', `${name}.pem`));

/**
 * The innermost connect, recorded: where to is noted, and what is connected is a receiver on loopback, which answers 200 and closes,
 * so that each attempt needs a dial of its own. A guard that fails is seen here, and no packet leaves this machine.
 */
export async function startRecorder(): Promise<Recorder> {
  const dialled: Dialled[] = [];
  const received: ReceivedRequest[] = [];
  let connections = 0;
  const answer = (request: IncomingMessage, response: { writeHead: Function; end: Function }) => {
    const { method = '', url = '', headers, rawHeaders } = request;
    received.push({
      method,
      host: headers.host ?? '',
      path: url,
      headers,
      rawNames: rawHeaders.filter((_text, at) => at % 2 === 0),
    });
    request.resume().on('end', () => {
      response.writeHead(200, { connection: 'close' });
      response.end('thank you');
    });
  };
  const plain = createServer(answer);
  const secure = createTlsServer({ key: fixture('key'), cert: fixture('valid') }, answer);
  for (const server of [plain, secure]) {
    server.on('connection', () => connections++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }
  const portOf = (server: Server) => (server.address() as net.AddressInfo).port;

  function note(options: net.TcpNetConnectOpts, servername: string | null): string {
    const address = addressOf(options);
    dialled.push({ address, port: options.port, servername });
    return address;
  }
  return {
    dialled,
    received,
    port: portOf(plain),
    connections: () => connections,
    sockets: {
      plain: (options) => {
        const address = note(options, null);
        const { onread } = options;
        return seenAs(address, net.connect({ port: portOf(plain), host: '127.0.0.1', onread }));
      },
      secure: (options) => {
        const address = note(options as net.TcpNetConnectOpts, options.servername ?? '');
        const to = { port: portOf(secure), host: '127.0.0.1', servername: options.servername };
        // Whose certificate it is has tests of its own (http-sender.spec.ts).
        return seenAs(address, tls.connect({ ...to, rejectUnauthorized: false }));
      },
    },
    forget() {
      dialled.length = 0;
      received.length = 0;
      connections = 0;
    },
    async stop() {
      for (const server of [plain, secure]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

/** The host as it is, or the first that the lookup gives: as Node does. */
function addressOf({ host = '', lookup }: net.TcpNetConnectOpts): string {
  let address = host;
  lookup?.(host, { all: true }, (_error, addresses) => {
    address = Array.isArray(addresses) ? addresses[0].address : addresses;
  });
  return address;
}

/** The guard judges a socket once more by where it ended up. */
function seenAs<S extends net.Socket>(address: string, socket: S): S {
  Object.defineProperty(socket, 'remoteAddress', { get: () => (socket.destroyed ? undefined : address) });
  return socket;
}
