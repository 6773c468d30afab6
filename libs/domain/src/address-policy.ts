import ipaddr from 'ipaddr.js';

/**
 * `public`: unicast on the open internet. `allowed`: not public, but an operator named it (POSTHORN_ALLOW_CIDRS).
 * `forbidden`: everything else, including whatever is not an address at all.
 */
export type AddressVerdict = 'public' | 'allowed' | 'forbidden';

/** Networks an operator opened on purpose. Made by parseCidrs. */
export interface AllowList {
  readonly cidrs: readonly Cidr[];
}

interface Cidr {
  readonly text: string;
  readonly bytes: readonly number[];
  readonly prefixBits: number;
}

export const NO_CIDRS: AllowList = { cidrs: [] };

/**
 * May we open a socket to this address? Deny unless public unicast. Takes the plain text form that DNS, a socket or a
 * WHATWG URL gives, without brackets. The allow list is asked first, so that it can also name what is forbidden.
 *
 * A v4-mapped address (::ffff:10.0.0.1) is an IPv6 address here: forbidden, whatever it embeds, unless the list names it
 * in its IPv6 form. Judging the embedded address instead is how other products were walked around.
 */
export function addressVerdict(ip: string, allow: AllowList): AddressVerdict {
  const bytes = bytesOf(ip);
  if (bytes === undefined) return 'forbidden';
  if (allow.cidrs.some((cidr) => contains(cidr, bytes))) return 'allowed';
  if (bytes.length === 4) return V4_DENIED.some((cidr) => contains(cidr, bytes)) ? 'forbidden' : 'public';
  if (!contains(V6_PUBLIC, bytes)) return 'forbidden';
  return V6_DENIED.some((cidr) => contains(cidr, bytes)) ? 'forbidden' : 'public';
}

/** Networks separated by commas or blanks; a bare address is a network of one. Throws a sentence an operator can act on. */
export function parseCidrs(text: string): AllowList {
  return {
    cidrs: text
      .split(/[\s,]+/)
      .filter(Boolean)
      .map(parseCidr),
  };
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
`).cidrs;

/** Global unicast: the only part of IPv6 that is handed out. Loopback, mapped, NAT64, ULA, link-local lie outside it. */
const V6_PUBLIC = parseCidr('2000::/3');

/** Inside it: Teredo and its neighbours, documentation, 6to4, AS112. */
const V6_DENIED = parseCidrs('2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20').cidrs;
