// Real: TLS servers on loopback that ask for client certificates, and certificates made by the openssl command.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { parseCidrs, PUBLIC_ONLY, type TlsIdentity, type UrlPolicy } from '@app/domain';
import { afterEach, describe, expect, it } from 'vitest';
import { makeAuthority, type Issued } from '../../../../test/support/certificate-authority.js';
import { HttpSender } from './http-sender.js';
import { identityKey } from './tls-identity.js';

const LOOPBACK: UrlPolicy = {
  addresses: { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.0/8') },
  hosts: [],
  http: true,
};
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

// Whoever signs servers and whoever signs clients are two, and a third nobody knows.
const servers = makeAuthority('Servers');
const clients = makeAuthority('Clients');
const strangers = makeAuthority('Strangers');
const server = servers.issue('hooks.test');
const alice = clients.issue('alice');
const bob = clients.issue('bob');

const identityOf = (client: Issued | null, ca: string | null = servers.certificate): TlsIdentity => ({
  clientCertificate: client?.certificate ?? null,
  clientKey: client?.key ?? null,
  ca,
});

function sender(extraCa?: string): HttpSender {
  const made = new HttpSender({ policy: LOOPBACK, extraCa });
  cleanUps.push(() => made.destroy());
  return made;
}

const post = (through: HttpSender, url: string, identity?: TlsIdentity) =>
  through.send({ url, headers: {}, body: Buffer.from('{}'), deadlineMs: 5000, identity });

/** Says who asks: the name in the client's certificate, the number of its connection. */
async function receiver(): Promise<{ url: string; connections: () => number }> {
  const numbers = new Map<unknown, number>();
  const made = createServer(
    {
      key: server.key,
      cert: server.certificate,
      requestCert: true,
      ca: clients.certificate,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      const name = socket.authorized ? socket.getPeerCertificate().subject.CN : 'nobody';
      response.end(`${String(name)} on ${numbers.get(socket)}`);
    },
  );
  made.on('secureConnection', (socket) => numbers.set(socket, numbers.size + 1));
  made.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  cleanUps.push(
    () => made.close(),
    () => made.closeAllConnections(),
  );
  return {
    url: `https://127.0.0.1:${(made.address() as AddressInfo).port}/`,
    connections: () => numbers.size,
  };
}

describe('a TLS identity', () => {
  it('shows its client certificate, and shares no connection with another', async () => {
    const { url, connections } = await receiver();
    const through = sender();
    const says = async (identity: TlsIdentity) => String((await post(through, url, identity)).responseBody);
    expect(await says(identityOf(alice))).toBe('alice on 1');
    expect(await says(identityOf(bob))).toBe('bob on 2');
    expect(await says(identityOf(null))).toBe('nobody on 3');
    // The same identity, in another object, has its connection still.
    expect(await says(identityOf(alice))).toBe('alice on 1');
    expect(await says(identityOf(bob))).toBe('bob on 2');
    expect(connections()).toBe(3);
    expect(await says(identityOf(strangers.issue('mallory')))).toBe('nobody on 4');
  });

  it('trusts its authority instead of all others', async () => {
    const { url } = await receiver();
    expect((await post(sender(), url)).failure).toBe('tls_untrusted');
    expect((await post(sender(), url, identityOf(null))).failure).toBe(null);
    // This sender would trust it, and does, for an endpoint that names no authority; for one that names another it must not.
    const trusting = sender(servers.certificate);
    expect((await post(trusting, url)).failure).toBe(null);
    expect((await post(trusting, url, identityOf(null, strangers.certificate))).failure).toBe(
      'tls_untrusted',
    );
    expect((await post(trusting, url)).failure).toBe(null);
  });

  it('is never spoken in plain text', async () => {
    const result = await post(sender(), 'http://127.0.0.1:12345/', identityOf(alice));
    expect([result.failure, result.failureDetail]).toEqual([
      'config_invalid',
      'TLS settings need an https URL',
    ]);
  });

  it('that does not fit together is told without its key', async () => {
    const result = await post(sender(), 'https://127.0.0.1:12345/', {
      ...identityOf(alice),
      clientKey: bob.key,
    });
    expect([result.failure, result.failureDetail]).toEqual([
      'config_invalid',
      'the TLS settings cannot be used: ERR_OSSL_X509_KEY_VALUES_MISMATCH',
    ]);
  });

  it('is named by all of it', () => {
    const keys = [
      identityOf(alice),
      identityOf(bob),
      identityOf(null),
      identityOf(alice, null),
      { ...identityOf(alice), clientKey: bob.key },
    ].map(identityKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('a receiver that refuses the client', () => {
  // openssl's own server: Node's sends no alert, it only closes the connection.
  it.each([
    ['which has none, TLS 1.3', null, '-tls1_3'],
    ['which has none, TLS 1.2', null, '-tls1_2'],
    ['whom it does not know, TLS 1.3', strangers.issue('mallory'), '-tls1_3'],
    ['whom it does not know, TLS 1.2', strangers.issue('mallory'), '-tls1_2'],
    ['whose time is over, TLS 1.3', clients.issue('late', { expired: true }), '-tls1_3'],
  ])('%s', async (_what, client, version) => {
    const { url } = await opensslServer(version);
    const refused = await post(sender(), url, identityOf(client));
    expect([refused.failure, refused.statusCode]).toEqual([
      version === '-tls1_2' && client === null ? 'tls_handshake' : 'tls_client_refused',
      undefined,
    ]);
  });
});

async function opensslServer(version: string): Promise<{ url: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-tls-'));
  writeFileSync(join(folder, 'server.pem'), server.certificate);
  writeFileSync(join(folder, 'server.key'), server.key);
  writeFileSync(join(folder, 'clients.pem'), clients.certificate);
  const child = spawn(
    'openssl',
    [
      's_server',
      ...['-accept', '127.0.0.1:0', version, '-Verify', '2', '-verify_return_error'],
      ...'-cert server.pem -key server.key -CAfile clients.pem'.split(' '),
    ],
    // Its input stays open: at the end of it, it ends.
    { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] },
  );
  cleanUps.push(() => rmSync(folder, { recursive: true }));
  cleanUps.push(() => new Promise((resolve) => void (child.once('exit', resolve), child.kill('SIGKILL'))));
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new Error(`This test needs the openssl command: ${error.message}`)),
    );
    child.stdout.on('data', (said) => {
      const port = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(String(said))?.[1];
      if (port !== undefined) resolve({ url: `https://127.0.0.1:${port}/` });
    });
  });
}
