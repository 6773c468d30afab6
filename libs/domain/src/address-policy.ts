import ipaddr from 'ipaddr.js';

/**
 * `public`: unicast on the open internet. `allowed`: not public, but an operator named it (POSTHORN_ALLOW_CIDRS).
 * `forbidden`: everything else, including whatever is not an address at all.
 */
export type AddressVerdict = 'public' | 'allowed' | 'forbidden';

/** Networks that an operator named. Made by parseCidrs. */
export type CidrList = readonly Cidr[];

interface Cidr {
  readonly text: string;
  readonly bytes: readonly number[];
  readonly prefixBits: number;
}

/** What an operator says about addresses, beside what everybody's addresses are. */
export interface AddressPolicy {
  /** Never dialled, whatever the other lists say: the answer to "our whole network, but not that database". */
  readonly deny: CidrList;
  /** May be dialled though they are not public. */
  readonly allow: CidrList;
  /** The /96 behind which IPv4 is reached from a host without IPv4; its addresses are judged by the one they embed. */
  readonly nat64: CidrList;
  /** Where Posthorn and its database listen: never dialled at an address that only the allow list opened. */
  readonly ownPorts: ReadonlySet<number>;
}

export const PUBLIC_ONLY: AddressPolicy = { deny: [], allow: [], nat64: [], ownPorts: new Set() };

/**
 * May we open a socket to this address? Deny unless public unicast. Takes the plain text form that DNS, a socket or a
 * WHATWG URL gives, without brackets. The operator's deny list is asked first, then the allow list, so that it can also
 * name what is forbidden.
 *
 * A v4-mapped address (::ffff:10.0.0.1) is an IPv6 address here: forbidden, whatever it embeds, unless the list names it
 * in its IPv6 form. Judging the embedded address instead is how other products were walked around. To deny, the embedded one
 * counts too.
 */
export function addressVerdict(ip: string, policy: AddressPolicy): AddressVerdict {
  const bytes = bytesOf(ip);
  return bytes === undefined ? 'forbidden' : verdictOf(bytes, policy);
}

function verdictOf(bytes: readonly number[], policy: AddressPolicy): AddressVerdict {
  const within = (cidrs: CidrList) => cidrs.some((cidr) => contains(cidr, bytes));
  if (within(policy.deny)) return 'forbidden';
  if (contains(V4_MAPPED, bytes) && policy.deny.some((cidr) => contains(cidr, bytes.slice(12))))
    return 'forbidden';
  if (within(policy.allow)) return 'allowed';
  if (bytes.length === 4) return within(V4_DENIED) ? 'forbidden' : 'public';
  if (within(policy.nat64)) return verdictOf(bytes.slice(12), policy);
  return contains(V6_PUBLIC, bytes) && !within(V6_DENIED) ? 'public' : 'forbidden';
}

/** The same for an address and a port; null when it may be dialled. */
export function dialProblem(
  ip: string,
  port: number,
  policy: AddressPolicy,
): 'blocked_address' | 'blocked_port' | null {
  const verdict = addressVerdict(ip, policy);
  if (verdict === 'forbidden') return 'blocked_address';
  if (REFUSED_PORTS.has(port)) return 'blocked_port';
  // By port alone: the database is named by a name, and the machine has more addresses than it knows.
  return verdict === 'allowed' && policy.ownPorts.has(port) ? 'blocked_port' : null;
}

/** Networks separated by commas or blanks; a bare address is a network of one. Throws a sentence an operator can act on. */
export function parseCidrs(text: string): CidrList {
  return text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(parseCidr);
}

/** As 64:ff9b::/96, the only length that is used beside DNS64; empty for none. Throws as parseCidrs does. */
export function parseNat64Prefix(text: string): CidrList {
  const cidrs = parseCidrs(text);
  const wrong = cidrs.find(({ bytes, prefixBits }) => bytes.length !== 16 || prefixBits !== 96);
  if (wrong !== undefined || cidrs.length > 1)
    throw new Error(`"${text}" is not a NAT64 prefix: expected one network such as 64:ff9b::/96`);
  return cidrs;
}

function parseCidr(text: string): Cidr {
  const [address = '', prefix, ...rest] = text.split('/');
  const bytes = bytesOf(address);
  const bitsMax = bytes === undefined ? 0 : bytes.length * 8;
  const prefixBits = prefix === undefined ? bitsMax : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Infinity;
  if (bytes === undefined || rest.length > 0 || prefixBits > bitsMax) {
    throw new Error(`"${text}" is not a network: expected something like 10.0.0.0/8, 127.0.0.1 or fd00::/8`);
  }
  const network = bytes.map((byte, i) => byte & maskByte(prefixBits, i));
  if (network.some((byte, i) => byte !== bytes[i])) {
    // A typing mistake in a list that opens holes should not be repaired silently.
    const meant = ipaddr.fromByteArray(network).toString();
    throw new Error(
      `"${text}" has bits set beyond its prefix: write ${meant}/${prefixBits} if that is what you mean`,
    );
  }
  return { text, bytes, prefixBits };
}

/** Whether a text is an address in its plain form. */
export function isAddress(ip: string): boolean {
  return bytesOf(ip) !== undefined;
}

/** Whether an address lies in one of these networks; what is no address lies in none. */
export function isWithin(ip: string, cidrs: CidrList): boolean {
  const bytes = bytesOf(ip);
  return bytes !== undefined && cidrs.some((cidr) => contains(cidr, bytes));
}

function contains(cidr: Cidr, bytes: readonly number[]): boolean {
  if (cidr.bytes.length !== bytes.length) return false;
  for (let i = 0; i * 8 < cidr.prefixBits; i++) {
    if (((cidr.bytes[i] ^ bytes[i]) & maskByte(cidr.prefixBits, i)) !== 0) return false;
  }
  return true;
}

function maskByte(prefixBits: number, i: number): number {
  const bits = Math.min(8, Math.max(0, prefixBits - i * 8));
  return (0xff00 >> bits) & 0xff;
}

// ipaddr.js reads more than one spelling of IPv4 (octal, hex, one number). Nothing we trust writes those, so only the
// plain form is an address here; the rest is forbidden by not being one.
const FOUR_PART_DECIMAL = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** 4 or 16 bytes, or undefined. Zone ids (fe80::1%eth0) name an interface of this machine: never a receiver. */
function bytesOf(ip: string): number[] | undefined {
  if (FOUR_PART_DECIMAL.test(ip)) return ip.split('.').map(Number);
  if (!ip.includes(':') || ip.includes('%') || ip.length > 45 || !ipaddr.IPv6.isValid(ip)) return undefined;
  return ipaddr.IPv6.parse(ip).toByteArray();
}

/** Security notes 3.1: what is special by registry, and three networks that are routed but never a receiver. */
const V4_DENIED = parseCidrs(`
  0.0.0.0/8       10.0.0.0/8      100.64.0.0/10   127.0.0.0/8     169.254.0.0/16  172.16.0.0/12
  192.0.0.0/24    192.0.2.0/24    192.88.99.0/24  192.168.0.0/16  198.18.0.0/15   198.51.100.0/24
  203.0.113.0/24  224.0.0.0/4     240.0.0.0/4
  192.31.196.0/24 192.52.193.0/24 192.175.48.0/24
`);

/** Global unicast: the only part of IPv6 that is handed out. Loopback, mapped, NAT64, ULA, link-local lie outside it. */
const V6_PUBLIC = parseCidr('2000::/3');

/** Inside it: Teredo and its neighbours, documentation, 6to4, AS112. */
const V6_DENIED = parseCidrs('2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20');

const V4_MAPPED = parseCidr('::ffff:0:0/96');

/**
 * Ports at which something listens that a POST could talk to, or that a receiver never is: those of the Fetch standard
 * (https://fetch.spec.whatwg.org/#port-blocking), then data stores, brokers and orchestrators. All lie below 32768, where
 * Linux takes ports for those who ask for any.
 */
export const REFUSED_PORTS: ReadonlySet<number> = new Set([
  ...[0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103],
  ...[104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513],
  ...[514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720],
  ...[1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
  // SMB, SQL Server, Oracle, ZooKeeper, MySQL, RDP, PostgreSQL, pgbouncer, CouchDB, Redis and its sentinel
  ...[445, 1433, 1434, 1521, 2181, 3306, 3389, 5432, 5433, 6432, 5984, 6379, 26379],
  // Cassandra, Kafka, AMQP, NATS, Elasticsearch, memcached, MongoDB, RethinkDB
  ...[7199, 9042, 9092, 5671, 5672, 4222, 9200, 9300, 11211, 27017, 27018, 27019, 28015],
  // Docker, etcd, Kubernetes, kubelet
  ...[2375, 2376, 2377, 2379, 2380, 6443, 10250, 10255, 10256],
]);
