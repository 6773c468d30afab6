import { isAddress, isWithin, type CidrList } from '@app/domain';
import type { FastifyRequest } from 'fastify';

/**
 * Where a request comes from: the address of its socket, or, when that is a proxy of ours, what the proxy says in
 * X-Forwarded-For. IPv4 in its own form, so that one machine is one address. What a proxy passes on unchecked and is no
 * address is not repeated: then it is the proxy that asks.
 */
export function clientAddress(request: FastifyRequest): string {
  const said = plainAddress(request.ip);
  return isAddress(said) ? said : plainAddress(request.socket.remoteAddress ?? '');
}

/** For Fastify: whether to go on to the next address of X-Forwarded-For. False for nobody trusts anybody. */
export function proxyTrust(proxies: CidrList): false | ((address: string) => boolean) {
  if (proxies.length === 0) return false;
  return (address) => isWithin(plainAddress(address), proxies);
}

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/** A socket that listens on `::` shows IPv4 callers as ::ffff:192.0.2.7. */
function plainAddress(address: string): string {
  return MAPPED.exec(address)?.[1] ?? address;
}
