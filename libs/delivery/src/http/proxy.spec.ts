// Real: TCP and TLS on loopback, a CONNECT proxy that leads every target to a receiver here. No packet leaves loopback.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { parseCidrs, PUBLIC_ONLY } from '@app/domain';
import { afterEach, describe, expect, it } from 'vitest';
import {
  startConnectProxy,
  type ConnectProxy,
  type ProxyAnswer,
} from '../../../../test/support/connect-proxy.js';
import { systemSockets } from './guarded-dial.js';
import { HttpSender } from './http-sender.js';
import type { HttpSenderOptions, SendResult } from './http-sender.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const pem = (name: string) => readFileSync(join(import.meta.dirname, 'fixtures', `${name}.pem`), 'utf8');
const SECRET = 'Basic cG9zdGhvcm46c3dvcmRmaXNo';

async function proxy(answer: (target: string, head: string) => ProxyAnswer): Promise<ConnectProxy> {
  const started = await startConnectProxy(answer);
  cleanUps.push(() => started.stop());
  return started;
}

async function listening(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as net.AddressInfo).port;
}

interface Receiver {
  port: number;
  seen: { host: string; proxyAuthorization: string | undefined; servername?: string | false | null }[];
}
const reply = (seen: Receiver['seen']) => (request: http.IncomingMessage, response: http.ServerResponse) => {
  const { socket, headers } = request;
  seen.push({
    host: headers.host ?? '',
    proxyAuthorization: headers['proxy-authorization'],
    ...(socket instanceof tls.TLSSocket
      ? { servername: (socket as { servername?: string }).servername }
      : {}),
  });
  response.writeHead(201, { connection: 'close' }).end('thank you');
};
async function receiver(): Promise<Receiver> {
  const seen: Receiver['seen'] = [];
  return { seen, port: await listening(http.createServer(reply(seen))) };
}
async function secureReceiver(): Promise<Receiver> {
  const seen: Receiver['seen'] = [];
  const inner = http.createServer(reply(seen));
  const server = tls.createServer({ key: pem('key'), cert: pem('valid') }, (socket) =>
    inner.emit('connection', socket),
  );
  server.on('tlsClientError', () => {});
  return { seen, port: await listening(server) };
}

const names: Record<string, string[]> = {
  'hooks.test': ['93.184.216.34', '2606:4700:4700::1111'],
  'inner.test': ['10.0.0.1'],
};
const resolver = { resolve: (name: string) => Promise.resolve(names[name] ?? []) };

function senderThrough(port: number, more: Partial<HttpSenderOptions> = {}): HttpSender {
  const sender = new HttpSender({
    policy: { addresses: PUBLIC_ONLY, hosts: ['*.test'], http: true },
    proxy: { hostname: '127.0.0.1', port, authorization: SECRET },
    resolver,
    extraCa: pem('valid'),
    ...more,
  });
  cleanUps.push(() => sender.destroy());
  return sender;
}
const post = (sender: HttpSender, url: string, deadlineMs = 5000): Promise<SendResult> =>
  sender.send({ url, headers: {}, body: Buffer.from('{}'), deadlineMs });

describe('through an egress proxy', () => {
  it('plain http goes through CONNECT too, to the address that was judged; Host is the name', async () => {
    const to = await receiver();
    const { port, asked } = await proxy(() => ({ through: to.port }));
    const result = await post(senderThrough(port), 'http://hooks.test:8080/a');
    expect(result).toMatchObject({ failure: null, statusCode: 201, remoteAddress: '93.184.216.34' });
    expect(asked.map(({ target }) => target)).toEqual(['93.184.216.34:8080']);
    expect(asked[0].head).toContain(`\r\nproxy-authorization: ${SECRET}\r\n`);
    // The proxy's alone.
    expect(to.seen).toEqual([{ host: 'hooks.test:8080', proxyAuthorization: undefined }]);
  });

  it('TLS is end to end: the receiver’s name is asked for and its certificate is verified', async () => {
    const to = await secureReceiver();
    const { port, asked } = await proxy(() => ({ through: to.port }));
    expect(await post(senderThrough(port), 'https://hooks.test/')).toMatchObject({
      failure: null,
      statusCode: 201,
    });
    expect(to.seen).toEqual([
      { host: 'hooks.test', proxyAuthorization: undefined, servername: 'hooks.test' },
    ]);
    expect(asked.map(({ target }) => target)).toEqual(['93.184.216.34:443']);
    const mistrusting = senderThrough(port, { extraCa: undefined });
    expect((await post(mistrusting, 'https://hooks.test/')).failure).toBe('tls_untrusted');
    expect(to.seen).toHaveLength(1);
  });

  it('the certificate of an address is asked for that address, and for no other name', async () => {
    const to = await secureReceiver();
    const { port } = await proxy(() => ({ through: to.port }));
    const addresses = { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.1') };
    const sender = senderThrough(port, { policy: { addresses, hosts: [], http: false } });
    expect((await post(sender, 'https://127.0.0.1:8443/')).failure).toBeNull();
    expect((await post(sender, 'https://93.184.216.34/')).failure).toBe('tls_name_mismatch');
    expect(to.seen.map(({ host }) => host)).toEqual(['127.0.0.1:8443']);
  });

  it('an IPv6 address is asked for in brackets', async () => {
    const to = await receiver();
    const { port, asked } = await proxy(() => ({ through: to.port }));
    expect((await post(senderThrough(port), 'http://[2606:4700:4700::1111]/')).failure).toBeNull();
    expect(asked[0].target).toBe('[2606:4700:4700::1111]:80');
  });

  it.each([
    ['http://10.0.0.1/', 'blocked_address'],
    ['http://inner.test/', 'blocked_address'],
    ['http://hooks.test:5432/', 'blocked_port'],
    ['http://localhost/', 'blocked_address'],
  ])('%s is judged before: the proxy is not even asked', async (url, failure) => {
    const { port, asked } = await proxy(() => 'closes');
    expect((await post(senderThrough(port), url)).failure).toBe(failure);
    // Its own address is the operator's as a proxy, and as nothing else.
    expect((await post(senderThrough(port), `http://127.0.0.1:${port}/`)).failure).toBe('blocked_address');
    expect(asked).toEqual([]);
  });

  it.each<[string, ProxyAnswer, string, RegExp]>([
    ['403', { says: 'HTTP/1.1 403 Forbidden\r\n\r\nour network is 10.0.0.0/8' }, 'proxy_refused', /403$/],
    [
      '407 as smokescreen refuses',
      { says: 'HTTP/1.1 407 Request rejected\r\n\r\nno' },
      'proxy_refused',
      /407$/,
    ],
    [
      '407 for the password',
      { says: 'HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n\r\n' },
      'proxy_failed',
      /407$/,
    ],
    ['502', { says: 'HTTP/1.1 502 Bad Gateway\r\n\r\n10.0.0.1 is down' }, 'proxy_failed', /502$/],
    ['200 of another protocol', { says: 'SSH-2.0-OpenSSH\r\n\r\n' }, 'proxy_failed', /HTTP$/],
    ['an endless head', { says: `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(9000)}` }, 'proxy_failed', /head$/],
    ['a closed connection', 'closes', 'proxy_failed', /closed/],
  ])('%s is the proxy’s answer and not the receiver’s', async (_what, answer, failure, detail) => {
    const { port } = await proxy(() => answer);
    const result = await post(senderThrough(port), 'http://hooks.test/');
    expect(result.failure).toBe(failure);
    expect(result.failureDetail).toMatch(detail);
    // Nothing that the proxy says is shown: it may describe a network, and its password stays here.
    expect(result).not.toHaveProperty('statusCode');
    expect(result).not.toHaveProperty('responseBody');
    expect(JSON.stringify(result)).not.toMatch(/10\.0\.0|cG9zdG/);
  });

  it('a proxy that says nothing is given up with the connect timeout', async () => {
    const { port } = await proxy(() => 'nothing');
    const result = await post(senderThrough(port, { connectTimeoutMs: 200 }), 'http://8.8.8.8/');
    expect(result).toMatchObject({
      failure: 'proxy_failed',
      failureDetail: expect.stringContaining('200 ms') as string,
    });
  });

  it('and one that is not there is nobody’s receiver refusing', async () => {
    const { port, stop } = await startConnectProxy(() => 'nothing');
    await stop();
    expect((await post(senderThrough(port), 'http://hooks.test/')).failure).toBe('proxy_failed');
  });

  it('the proxy may have a name; one that cannot be looked up is the way out that is broken', async () => {
    const to = await receiver();
    const { port, asked } = await proxy(() => ({ through: to.port }));
    const named = (hostname: string) =>
      senderThrough(port, { proxy: { hostname, port, authorization: null } });
    names['proxy.internal'] = ['127.0.0.1'];
    expect((await post(named('proxy.internal'), 'http://hooks.test/')).failure).toBeNull();
    expect(asked[0].head).not.toContain('authorization');
    expect((await post(named('nowhere.internal'), 'http://hooks.test/')).failure).toBe('proxy_failed');
  });

  it('a proxy whose name is known only after the deadline is not dialled any more', async () => {
    const lookedUp = Promise.withResolvers<string[]>();
    let dialled = 0;
    const sender = senderThrough(8009, {
      proxy: { hostname: 'proxy.internal', port: 8009, authorization: SECRET },
      resolver: { resolve: (name) => (name === 'hooks.test' ? resolver.resolve(name) : lookedUp.promise) },
      sockets: { ...systemSockets, plain: () => (dialled++, new net.Socket()) },
    });
    expect((await post(sender, 'http://hooks.test/', 50)).failure).toBe('proxy_failed');
    lookedUp.resolve(['127.0.0.1']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(dialled).toBe(0);
  });

  it('the next address of a name is tried when the proxy does not reach the first', async () => {
    const to = await receiver();
    const { port, asked } = await proxy((target) =>
      target.startsWith('[') ? { through: to.port } : { says: 'HTTP/1.1 504 Gateway Timeout\r\n\r\n' },
    );
    const result = await post(senderThrough(port), 'http://hooks.test/');
    expect(result).toMatchObject({ failure: null, remoteAddress: '2606:4700:4700::1111' });
    expect(asked).toHaveLength(2);
  });

  it('the deadline ends a tunnel that does not open', async () => {
    const { port } = await proxy(() => 'nothing');
    const result = await post(senderThrough(port), 'http://hooks.test/', 200);
    expect(result.failure).toBe('proxy_failed');
    expect(result.timings.totalMs).toBeLessThan(700);
  });
});

it('the environment’s proxies are ignored, also where Node is told to use them', async () => {
  const to = await receiver();
  const env = await proxy(() => ({ through: to.port }));
  const url = `http://127.0.0.1:${env.port}`;
  // A process of its own: Node reads these when it starts.
  const script = `
    import { HttpSender } from './dist/libs/delivery/src/index.js';
    import { parseCidrs, PUBLIC_ONLY } from './dist/libs/domain/src/index.js';
    const addresses = { ...PUBLIC_ONLY, allow: parseCidrs('127.0.0.1') };
    const sender = new HttpSender({ policy: { addresses, hosts: [], http: false } });
    const result = await sender.send({ url: process.argv[1], headers: {}, body: Buffer.from('{}'), deadlineMs: 5000 });
    console.log(JSON.stringify(result));
    sender.destroy();`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', script, `http://127.0.0.1:${to.port}/`],
    {
      env: {
        ...process.env,
        ...{
          HTTP_PROXY: url,
          HTTPS_PROXY: url,
          http_proxy: url,
          https_proxy: url,
          ALL_PROXY: url,
          NO_PROXY: '',
        },
        NODE_USE_ENV_PROXY: '1',
      },
    },
  );
  expect(JSON.parse(stdout)).toMatchObject({ failure: null, statusCode: 201 });
  expect([env.asked, to.seen.length]).toEqual([[], 1]);
});

it('an operator’s network may be reached through the proxy when it is allowed', async () => {
  const to = await receiver();
  const { port, asked } = await proxy(() => ({ through: to.port }));
  const addresses = { ...PUBLIC_ONLY, allow: parseCidrs('10.0.0.0/8') };
  const sender = senderThrough(port, { policy: { addresses, hosts: ['*.test'], http: false } });
  expect((await post(sender, 'http://inner.test/')).failure).toBeNull();
  expect(asked[0].target).toBe('10.0.0.1:80');
});
