import type net from 'node:net';
import type { FailureClass } from '@app/domain';

/** What the proxy is asked to connect us to. */
export interface TunnelTo {
  /** Judged: an address, never a name. */
  readonly address: string;
  readonly port: number;
  readonly authorization: string | null;
}

/** Why there is no tunnel, in words without anything that the proxy said beyond its status. */
export interface NoTunnel {
  readonly failure: FailureClass;
  readonly code: string;
  readonly message: string;
}

// Status, a few headers. A proxy that says more is not one.
const HEAD_BYTES_MAX = 8192;

/**
 * Has `socket`, which is on its way to the proxy, connected to an address (RFC 9110, 9.3.6). The answer is told apart from a
 * receiver's: nobody's circuit opens for it, and its body, which may describe our network, is not read.
 */
export function openTunnel(
  socket: net.Socket,
  { address, port, authorization }: TunnelTo,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<net.Socket | NoTunnel> {
  return new Promise((resolve) => {
    let head = '';
    const authority = `${address.includes(':') ? `[${address}]` : address}:${port}`;
    socket.once('connect', () =>
      socket.write(
        `CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n` +
          (authorization === null ? '' : `proxy-authorization: ${authorization}\r\n`) +
          '\r\n',
      ),
    );
    // Stays for the socket's life: between here and its next owner's listener an error must not be nobody's.
    socket.on('error', () => {});
    socket.on('readable', onReadable);
    socket.once('close', onClose);
    const timer = setTimeout(
      () => fail('TIMEOUT', `did not connect within ${Math.round(timeoutMs)} ms`),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort, { once: true });

    function onReadable(): void {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end >= 0) {
          const rest = head.slice(end + 4);
          if (rest !== '') socket.unshift(Buffer.from(rest, 'latin1'));
          return answered(head.slice(0, end));
        }
        if (head.length > HEAD_BYTES_MAX) return fail('HEAD', 'answered with too large a head');
      }
    }
    function answered(text: string): void {
      const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |\r\n|$)/.exec(text)?.[1]);
      if (status >= 200 && status < 300) {
        letGo();
        return resolve(socket);
      }
      // 407 with a challenge is about our credentials; without one it is how smokescreen refuses an address.
      const refused = status === 403 || (status === 407 && !/\r\nproxy-authenticate:/i.test(text));
      if (refused) fail(String(status), `refused the address: ${status}`, 'proxy_refused');
      else fail(String(status), Number.isNaN(status) ? 'did not answer in HTTP' : `answered ${status}`);
    }
    function onClose(): void {
      fail('CLOSED', 'closed the connection or could not be reached');
    }
    function onAbort(): void {
      fail('ABORTED', 'was given up', 'internal');
    }
    function fail(code: string, what: string, failure: FailureClass = 'proxy_failed'): void {
      letGo();
      socket.destroy();
      resolve({ failure, code: `PROXY_${code}`, message: `the egress proxy ${what}` });
    }
    function letGo(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('readable', onReadable);
      socket.off('close', onClose);
    }
  });
}
