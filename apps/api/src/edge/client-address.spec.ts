import { parseCidrs } from '@app/domain';
import Fastify from 'fastify';
import { expect, it } from 'vitest';
import { clientAddress, proxyTrust } from './client-address.js';

const addressOf = async (remoteAddress: string, proxies: string, forwarded?: string) => {
  const fastify = Fastify({ trustProxy: proxyTrust(parseCidrs(proxies)) });
  fastify.get('/', (request) => clientAddress(request));
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  return (await fastify.inject({ url: '/', remoteAddress, headers })).body;
};

it.each([
  // Nobody is believed unless the operator says so.
  ['192.0.2.7', '', '10.0.0.1', '192.0.2.7'],
  ['192.0.2.7', '198.51.100.0/24', '10.0.0.1', '192.0.2.7'],
  ['198.51.100.1', '198.51.100.0/24', undefined, '198.51.100.1'],
  ['198.51.100.1', '198.51.100.0/24', '192.0.2.7', '192.0.2.7'],
  // What the caller wrote before its proxy added the truth.
  ['198.51.100.1', '198.51.100.0/24', '10.0.0.1, 192.0.2.7', '192.0.2.7'],
  ['198.51.100.1', '198.51.100.0/24', '192.0.2.7, 198.51.100.9', '192.0.2.7'],
  // One machine is one address, however its socket or its proxy writes it.
  ['::ffff:192.0.2.7', '', undefined, '192.0.2.7'],
  ['::ffff:198.51.100.1', '198.51.100.0/24', '::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8::1', '2001:db8::/32', '2001:db9::5', '2001:db9::5'],
  // No address: the proxy's own.
  ['198.51.100.1', '198.51.100.0/24', 'unknown', '198.51.100.1'],
  ['198.51.100.1', '198.51.100.0/24', '192.0.2.7:8080', '198.51.100.1'],
])('%s behind %j, forwarded for %j, is %s', async (socket, proxies, forwarded, address) => {
  expect(await addressOf(socket, proxies, forwarded)).toBe(address);
});
