import { parseCidrs, parseHostList, parseNat64Prefix } from '@app/domain';
import { parseEgressProxy } from './egress-proxy.js';
import { parseKeks } from '@app/sealing';
import { parseOriginName, parseOrigins } from './origins.js';

/** How one variable is read: its kind decides what is accepted and what the Config holds. */
export type Variable =
  | {
      kind: 'text';
      default: string | null;
      about: string;
      secret?: boolean;
      lengthMin?: number;
      /** Throws a sentence about the text, in which no secret may be. */
      check?: (text: string) => unknown;
    }
  | { kind: 'integer'; default: number | null; min: number; max: number; about: string }
  | { kind: 'flag'; default: boolean; about: string }
  | { kind: 'choice'; default: string; of: readonly string[]; about: string };

/**
 * Every variable Posthorn reads, in the order of .env.example (generated from this table). Nobody else reads
 * process.env. What could lose data or open a hole begins with DANGEROUS_.
 */
export const VARIABLES = {
  DATABASE_URL: {
    kind: 'text',
    default: null,
    secret: true,
    about:
      'PostgreSQL 15 or later, as postgres://user:password@host:port/database. Unset: `posthorn up` runs an embedded server in POSTHORN_DATA_DIR.',
  },
  POSTHORN_DATA_DIR: {
    kind: 'text',
    default: '.data',
    about: 'Where the embedded PostgreSQL keeps its data.',
  },
  HOST: {
    kind: 'text',
    default: '127.0.0.1',
    about: 'The address that the api listens on; 0.0.0.0 in a container.',
  },
  PORT: {
    kind: 'integer',
    default: 3400,
    min: 0,
    max: 65535,
    about: 'The port of the api; 0 takes a free one.',
  },
  WORKER_PORT: {
    kind: 'integer',
    default: 3401,
    min: 0,
    max: 65535,
    about: 'The port of the worker’s /metrics and /health; 0 takes a free one.',
  },
  POSTHORN_ADMIN_KEY: {
    kind: 'text',
    default: null,
    secret: true,
    lengthMin: 32,
    about:
      'The first admin key, at least 32 characters. Unset: the first start makes one and prints it once.',
  },
  METRICS_PORT: {
    kind: 'integer',
    default: null,
    min: 0,
    max: 65535,
    about:
      'A port of its own for the api’s /metrics, which needs no key there; 0 takes a free one. Unset: only at PORT, with a key.',
  },
  POSTHORN_METRICS_KEY: {
    kind: 'text',
    default: null,
    secret: true,
    lengthMin: 32,
    about:
      'What a scraper sends as a bearer token to read /metrics, also while the database is away; at least 32 characters. When set, every /metrics asks for it. Unset: at PORT an API key with the scope metrics:read, at METRICS_PORT and WORKER_PORT nothing.',
  },
  POSTHORN_CORS_ORIGINS: {
    kind: 'text',
    default: '',
    check: parseOrigins,
    about:
      'Origins whose pages may call the API from a browser, comma separated, such as https://portal.example.com. Empty: none.',
  },
  POSTHORN_HSTS: {
    kind: 'flag',
    default: false,
    about:
      'Every answer tells browsers to use https only, for a year. For an api that is reached through a TLS proxy only; one that a trusted proxy calls https is told so anyway.',
  },
  POSTHORN_ENVIRONMENT: {
    kind: 'text',
    default: 'live',
    check: checkEnvironment,
    about:
      'Part of the text of keys and access tokens: those of another environment are refused. Changing it ends every key but POSTHORN_ADMIN_KEY.',
  },
  POSTHORN_TRUSTED_PROXIES: {
    kind: 'text',
    default: '',
    check: parseCidrs,
    about:
      'Networks of the proxies before the api, comma separated, whose X-Forwarded-For is believed for the caller’s address. Empty: none.',
  },
  POSTHORN_RATE_LIMIT_KEY: {
    kind: 'integer',
    default: 6000,
    min: 0,
    max: 10_000_000,
    about:
      'Requests a minute of one API key, publishing apart, over all api processes; more are answered 429. 0: any number.',
  },
  POSTHORN_RATE_LIMIT_PUBLISH: {
    kind: 'integer',
    default: 0,
    min: 0,
    max: 10_000_000,
    about:
      'Publishing requests a minute of one API key; a batch is one. 0: any number, which costs publishing nothing.',
  },
  POSTHORN_RATE_LIMIT_CUSTOMER: {
    kind: 'integer',
    default: 600,
    min: 0,
    max: 10_000_000,
    about: 'Requests a minute of all access tokens of one subscriber together. 0: any number.',
  },
  POSTHORN_RATE_LIMIT_ADDRESS: {
    kind: 'integer',
    default: 12_000,
    min: 0,
    max: 10_000_000,
    about:
      'Requests a minute of one address (of IPv6, one /64), whatever its keys, publishing apart. 0: any number.',
  },
  POSTHORN_RATE_LIMIT_TEST: {
    kind: 'integer',
    default: 10,
    min: 0,
    max: 10_000,
    about:
      'Test events and verifications a minute of one subscriber. Half as many go to one host, whoever sends them; six times as many to verified endpoints. 0: no limit.',
  },
  POSTHORN_RATE_LIMIT_AUTHENTICATION: {
    kind: 'integer',
    default: 60,
    min: 0,
    max: 10_000_000,
    about:
      'Requests a minute of one address whose key is missing or wrong; keys in use are not affected. 0: any number.',
  },
  POSTHORN_BACKLOG_PER_SUBSCRIBER_MAX: {
    kind: 'integer',
    default: 2_000_000,
    min: 1,
    max: 1_000_000_000,
    about:
      'Deliveries of one subscriber that may be pending, in all its endpoints; an event that would make more is answered 429 (backlog_full). Each takes some 1.2 KB of disk with its event, whose data comes on top.',
  },
  POSTHORN_BACKLOG_MAX: {
    kind: 'integer',
    default: 20_000_000,
    min: 1,
    max: 1_000_000_000,
    about:
      'Deliveries of all subscribers that may be pending; publishing is answered 503 while there are as many. To be chosen by the disk.',
  },
  POSTHORN_KEKS: {
    kind: 'text',
    default: null,
    secret: true,
    check: (text) => void parseKeks(text),
    about:
      'The keys that protect the secrets in the database, as id:base64 of 32 bytes (`openssl rand -base64 32`), comma separated, the one to use first. Losing them loses the secrets. Unset: the file `keks` in POSTHORN_DATA_DIR, which `posthorn up` makes.',
  },
  POSTHORN_ALLOW_CIDRS: {
    kind: 'text',
    default: '',
    check: parseCidrs,
    about:
      'Non-public networks that deliveries may reach, comma separated, such as 127.0.0.0/8; over http too, and localhost if 127.0.0.1 is in one. Never at the ports of Posthorn and its database. Empty: none.',
  },
  POSTHORN_DENY_CIDRS: {
    kind: 'text',
    default: '',
    check: parseCidrs,
    about:
      'Networks that deliveries never reach, public or not, comma separated. Wins over POSTHORN_ALLOW_CIDRS.',
  },
  POSTHORN_ALLOW_HOSTS: {
    kind: 'text',
    default: '',
    check: parseHostList,
    about:
      'Names that deliveries may go to although they are short or end in .internal, .local, .svc, .test or the like, comma separated, such as hooks.internal or *.internal; over http too. What they resolve to is judged all the same. Empty: none.',
  },
  POSTHORN_ALLOW_HTTP: {
    kind: 'flag',
    default: false,
    about:
      'Deliver over plain http to any host, not only to what POSTHORN_ALLOW_CIDRS and POSTHORN_ALLOW_HOSTS name. Whoever is on the way reads such events.',
  },
  POSTHORN_NAT64_PREFIX: {
    kind: 'text',
    default: '',
    check: parseNat64Prefix,
    about:
      'On hosts that reach IPv4 through NAT64 only: its prefix, such as 64:ff9b::/96; addresses in it are judged by the IPv4 address that they embed. Empty: they are refused.',
  },
  POSTHORN_EGRESS_PROXY: {
    kind: 'text',
    default: null,
    secret: true,
    check: parseEgressProxy,
    about:
      'A proxy that deliveries leave through, by CONNECT, as http://user:password@host:port. It gets addresses that were judged here, and judges them again. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are ignored.',
  },
  POSTHORN_ORIGIN: {
    kind: 'text',
    default: null,
    check: parseOriginName,
    about:
      'The DNS name that deliveries are sent under, as CloudEvents receivers are asked to allow it (WebHook-Request-Origin). Needed for endpoints with the verification cloudevents.',
  },
  POSTHORN_AUTO_CREATE_EVENT_TYPES: {
    kind: 'flag',
    default: false,
    about: 'Publishing an unknown event type creates it instead of being refused.',
  },
  RETENTION_DAYS: {
    kind: 'integer',
    default: 30,
    min: 1,
    max: 3650,
    about:
      'Days after which events, deliveries and attempts are dropped, a day at a time; pending ones are kept.',
  },
  AUDIT_RETENTION_DAYS: {
    kind: 'integer',
    default: 400,
    min: 90,
    max: 3650,
    about: 'Days after which rows of the audit log, and keys that ended, are deleted.',
  },
  WORKER_CONCURRENCY: {
    kind: 'integer',
    default: 256,
    min: 1,
    max: 4096,
    about: 'Requests that one worker has in flight at most.',
  },
  WORKER_CONCURRENCY_PER_ENDPOINT: {
    kind: 'integer',
    default: 32,
    min: 1,
    max: 1024,
    about: 'Of these, to one endpoint at most: a hanging one leaves the other slots free.',
  },
  WORKER_CONCURRENCY_PER_HOST: {
    kind: 'integer',
    default: 64,
    min: 1,
    max: 4096,
    about: 'Of these, to one host and port at most, whoever its endpoints belong to.',
  },
  POSTHORN_OPERATIONAL_SUBSCRIBER: {
    kind: 'text',
    default: '',
    about:
      'The subscriber (sub_… or external id) that is sent operational events: endpoint.failing, endpoint.disabled, endpoint.recovered, delivery.failed. Empty: nobody.',
  },
  DATABASE_POOL_MAX: {
    kind: 'integer',
    default: 12,
    min: 5,
    max: 100,
    about: 'Connections of one process to the database; a worker has one more, which listens.',
  },
  LOG_LEVEL: {
    kind: 'choice',
    default: 'info',
    of: ['debug', 'info', 'warn', 'error', 'silent'],
    about: 'The least severe log lines that are written.',
  },
  DANGEROUS_ALLOW_LOSSY_DATABASE: {
    kind: 'flag',
    default: false,
    about:
      'Start although the database runs with fsync or synchronous_commit off: a crash then loses accepted events.',
  },
} as const satisfies Record<string, Variable>;

/** It is part of the text of every key, where it must be told from the rest. */
function checkEnvironment(text: string): void {
  if (!/^[a-z]{2,8}$/.test(text)) throw new Error('expected 2 to 8 small letters, such as live or test');
}
