import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { monotonicMs } from '../support/monotonic.js';
import type { JournalEntry } from '../support/receiver/journal.js';
import type { Receiver } from '../support/receiver/receiver.js';
import type { FaultContext } from './fault-context.js';

/** A request whose body is in. */
export interface HostileRequest {
  /** Without the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Counts the requests of this path from 1. */
  readonly n: number;
}

/** Says what it likes to a request, in bytes, and tells the journal what that was: `200`, or the name of something worse. */
export type Misbehaviour = (socket: Socket, request: HostileRequest) => string;

export interface HostileServerOptions {
  /** By the first segment of the path. */
  readonly behaviours?: Readonly<Record<string, Misbehaviour>>;
  readonly tls?: TlsOptions;
  readonly host?: string;
  readonly port?: number;
  /** Instead of reading requests. */
  readonly onConnection?: (socket: Socket) => void;
}

/** A receiver on the level of sockets, in this process: for answers that no HTTP server would give. */
export interface HostileServer {
  readonly port: number;
  url(path: string): string;
  /** TCP connections that were opened to it. */
  readonly connections: number;
  readonly requests: readonly JournalEntry[];
}

/** Ends with the row; what it received is among what the invariants look into. */
export async function startHostileServer(
  context: FaultContext,
  options: HostileServerOptions,
): Promise<HostileServer> {
  const requests: JournalEntry[] = [];
  const counts = new Map<string, number>();
  let connections = 0;

  function serve(socket: Socket): void {
    socket.on('error', () => undefined);
    if (options.onConnection) options.onConnection(socket);
    else readRequests(socket, take);
  }

  function take(socket: Socket, target: string, headers: Record<string, string>, body: Buffer): void {
    const path = target.split('?', 1)[0];
    const n = (counts.get(path) ?? 0) + 1;
    counts.set(path, n);
    const behaviour = options.behaviours?.[path.split('/')[1]];
    if (!behaviour) throw new Error(`Bug: this server has no behaviour for ${path}`);
    const at = { epochMs: Date.now(), monotonicMs: monotonicMs() };
    const answer = behaviour(socket, { path, headers, body, n });
    requests.push({
      n: requests.length + 1,
      method: 'POST',
      path: target,
      headers,
      body,
      complete: true,
      answer,
      ...at,
    });
  }

  const host = options.host ?? '127.0.0.1';
  const sockets = new Set<Socket>();
  const server = await context.own(
    () =>
      listening(options.tls ? createTlsServer(options.tls, serve) : createServer(serve), host, options.port),
    (it) => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => it.close(resolve));
    },
  );
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  // Of a receiver the invariants use its journal only.
  context.receivers.push({ journal: () => Promise.resolve(requests) } as unknown as Receiver);
  const { port } = server.address() as AddressInfo;
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return {
    port,
    url: (path) => `${options.tls ? 'https' : 'http'}://${authority}${path}`,
    get connections() {
      return connections;
    },
    requests,
  };
}

/** `HTTP/1.1 …`, whole, with its length. */
export function answer(
  status: number,
  headers: Record<string, string> = {},
  body: string | Buffer = 'ok',
): Buffer {
  const lines = Object.entries({ 'content-length': String(Buffer.byteLength(body)), ...headers });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${head}\r\n`, 'latin1'), Buffer.from(body)]);
}

/** A receiver that is well. */
export const fine: Misbehaviour = (socket) => {
  socket.write(answer(200));
  return '200';
};

/** A port of this address where nobody listens (any more). */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = await listening(createServer(), host);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function listening(server: Server, host: string, port = 0): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, backlog: 4096 }, () => resolve(server));
  });
}

type Take = (socket: Socket, target: string, headers: Record<string, string>, body: Buffer) => void;

/** One request after the other, each with a content-length: what our sender writes. */
function readRequests(socket: Socket, take: Take): void {
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (let headEnd = bytes.indexOf('\r\n\r\n'); headEnd >= 0; headEnd = bytes.indexOf('\r\n\r\n')) {
      const [first, ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
      const headers = Object.fromEntries(
        lines.map((line) => [
          line.slice(0, line.indexOf(':')).toLowerCase(),
          line.slice(line.indexOf(':') + 1).trim(),
        ]),
      );
      const end = headEnd + 4 + Number(headers['content-length']);
      if (bytes.length < end) return;
      const body = Buffer.from(bytes.subarray(headEnd + 4, end));
      bytes = bytes.subarray(end);
      take(socket, first.split(' ')[1], headers, body);
    }
  });
}
