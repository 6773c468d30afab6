import { createServer, type AddressInfo, connect, type Socket } from 'node:net';

export interface ConnectProxy {
  readonly port: number;
  /** What it was asked for, one head for each connection. */
  readonly asked: { target: string; head: string }[];
  stop(): Promise<void>;
}

/** `through`: a port on 127.0.0.1 that it connects to, whatever it was asked for; else what it says instead. */
export type ProxyAnswer = { through: number } | { says: string } | 'nothing' | 'closes';

/** A proxy that knows CONNECT only, does as a test says for each target, and connects to loopback alone. */
export async function startConnectProxy(
  answer: (target: string, head: string) => ProxyAnswer,
): Promise<ConnectProxy> {
  const asked: { target: string; head: string }[] = [];
  const sockets = new Set<Socket>();
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    return socket;
  };
  const server = createServer((client) => {
    track(client);
    let head = '';
    client.on('data', function read(chunk: Buffer) {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      client.off('data', read);
      const target = /^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(head)?.[1] ?? head.split('\r\n', 1)[0];
      asked.push({ target, head });
      const what = answer(target, head);
      if (what === 'nothing') return;
      if (what === 'closes') return void client.destroy();
      if ('says' in what) return void client.end(what.says);
      const receiver = track(connect(what.through, '127.0.0.1'));
      receiver.on('connect', () => {
        client.write('HTTP/1.1 200 Connection established\r\nvia: a test\r\n\r\n');
        client.pipe(receiver).pipe(client);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
