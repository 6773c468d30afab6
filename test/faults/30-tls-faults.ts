/**
 * Certificates that are expired, nobody's, for another name; old versions, plain text, hanging and endless handshakes: each has
 * its class, a handshake is bounded by 5 s, and nothing is ever said in the clear instead.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import type { FailureClass } from '@app/domain';
import { ONE_TRY, runCases, type Case, type Cases } from './cases.js';
import { EXPIRED, KEY, STRANGER, VALID } from './certificates.js';
import { fine, startHostileServer, type HostileServer } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const TLS_HANDSHAKE_BYTE = 0x16;
// 150 KB of certificates: OpenSSL reads 100.
const CHAIN_LENGTH = 350;

export const row: FaultRow = {
  row: 30,
  name: 'tls-faults',
  quick: 'short',
  async run(context) {
    const trusted = join(context.directory, 'trusted.pem');
    await writeFile(trusted, VALID + EXPIRED);
    const firstBytes: number[] = [];
    const tlsServer = (cert: string, more: object = {}): Promise<HostileServer> =>
      startHostileServer(context, { behaviours: { fine }, tls: { key: KEY, cert, ...more } });
    /** What speaks no TLS sees what the sender says first. */
    const plainServer = async (say: (socket: Socket) => void): Promise<HostileServer> =>
      startHostileServer(context, {
        onConnection: (socket) =>
          void socket.once('data', (chunk: Buffer) => {
            firstBytes.push(chunk[0]);
            say(socket);
          }),
      });
    const good = await tlsServer(VALID);
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' };
    const bad: Record<string, [FailureClass, HostileServer]> = {
      expired: ['tls_cert_expired', await tlsServer(EXPIRED)],
      'self-signed': ['tls_untrusted', await tlsServer(STRANGER)],
      'tls-1.1': ['tls_handshake', await tlsServer(VALID, old)],
      'huge-chain': ['tls_handshake', await tlsServer(VALID + STRANGER.repeat(CHAIN_LENGTH))],
      'plain-text': ['tls_handshake', await plainServer((socket) => socket.end('HTTP/1.1 400 Bad\r\n\r\n'))],
      closed: ['tls_handshake', await plainServer((socket) => socket.end())],
      reset: ['tls_handshake', await plainServer((socket) => socket.resetAndDestroy())],
    };
    const hanging = await plainServer(() => undefined);
    const otherName = await startHostileServer(context, {
      behaviours: { fine },
      tls: { key: KEY, cert: VALID },
      host: '127.0.0.2',
    });
    const https = (server: HostileServer): string => server.url('/fine').replace(/^http:/, 'https:');
    const cases: Cases = {
      good: { url: https(good), failure: null, statusCode: 200 },
      'wrong-name': { url: https(otherName), failure: 'tls_name_mismatch', statusCode: null },
      ...Object.fromEntries(
        Object.entries(bad).map(([name, [failure, server]]) => [
          name,
          { url: https(server), failure, statusCode: null, tookMs: [0, 2000] },
        ]),
      ),
      ...(context.quick ? {} : { hanging: hangs(https(hanging)) }),
    };
    const { shown, figures } = await runCases(context, cases, { env: { NODE_EXTRA_CA_CERTS: trusted } });
    const requests = [otherName, hanging, ...Object.values(bad).map(([, server]) => server)].flatMap(
      (server) => server.requests,
    );
    context.check(requests.length === 0, 'a request was made where no certificate was good', requests.length);
    context.check(
      firstBytes.length >= 3 && firstBytes.every((byte) => byte === TLS_HANDSHAKE_BYTE),
      'something else than a handshake was said',
      firstBytes,
    );
    const [{ timeline }] = shown.get('good')!;
    context.check(timeline[0].timings.tlsMs! > 0, 'TLS has its own time');
    return { ...figures, classes: new Set(Object.values(cases).map(({ failure }) => failure)).size };
  },
};

function hangs(url: string): Case {
  return {
    url,
    failure: 'tls_handshake',
    statusCode: null,
    attempts: 1,
    tookMs: [4990, 5700],
    endpoint: { timeoutSeconds: 15, retryPolicy: ONE_TRY },
  };
}
