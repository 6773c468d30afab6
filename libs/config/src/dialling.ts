import { parseCidrs, parseHostList, parseNat64Prefix, type UrlPolicy } from '@app/domain';
import type { Config } from './config.js';
import { parseEgressProxy, type EgressProxy } from './egress-proxy.js';

/** What may be dialled, of this configuration: the api and the worker judge by the same. */
export function urlPolicyOf(config: Config): UrlPolicy {
  return {
    addresses: {
      deny: parseCidrs(config.POSTHORN_DENY_CIDRS),
      allow: parseCidrs(config.POSTHORN_ALLOW_CIDRS),
      nat64: parseNat64Prefix(config.POSTHORN_NAT64_PREFIX),
      ownPorts: ownPorts(config),
    },
    hosts: parseHostList(config.POSTHORN_ALLOW_HOSTS),
    http: config.POSTHORN_ALLOW_HTTP,
  };
}

/** Of this configuration's processes and of the database. A port of 0 is known only once it is taken: not in it. */
function ownPorts(config: Config): ReadonlySet<number> {
  const listening = Object.entries(config).filter(([name]) => name === 'PORT' || name.endsWith('_PORT'));
  const ports = new Set(listening.map(([, port]) => Number(port)));
  if (config.DATABASE_URL !== null)
    ports.add(Number(URL.parse(config.DATABASE_URL)?.port || POSTGRESQL_PORT));
  ports.delete(0);
  return ports;
}

const POSTGRESQL_PORT = 5432;

export function egressProxyOf(config: Config): EgressProxy | null {
  return config.POSTHORN_EGRESS_PROXY === null ? null : parseEgressProxy(config.POSTHORN_EGRESS_PROXY);
}
