/** Names that an operator opened: each exact (`hooks.internal`) or all below one (`*.internal`). Made by parseHostList. */
export type HostList = readonly string[];

const NAME_LENGTH_MAX = 253;
// Letters, digits and hyphens, and underscores: not of a host name by the RFC, and too common to refuse. Anything else that
// WHATWG lets through (`*`, `!`, `(`) is in nobody's zone.
const LABEL = /^[a-z0-9_-]{1,63}$/;

/**
 * Last labels that are never a receiver's on the public internet: reserved (RFC 6761, 6762, 7686, 8375, 9476), handed out for
 * private use (`internal`), never delegated because inner networks use them, or the names of clusters. `arpa` holds no hosts.
 * Some resolver inside answers for them, which is what makes them attractive.
 */
const SPECIAL: ReadonlySet<string> = new Set(
  `localhost localdomain local internal intranet private corp home lan mail svc
   onion alt test invalid example arpa`.split(/\s+/),
);

/** Why this WHATWG host name, which is no address and has no dot at its end, is not dialled; undefined if it may be. */
export function hostNameProblem(hostname: string, opened: HostList): string | undefined {
  const labels = hostname.split('.');
  if (hostname.length > NAME_LENGTH_MAX || !labels.every((label) => LABEL.test(label)))
    return `The URL’s host is not a host name: labels of 1 to 63 letters, digits, - and _, together at most ${NAME_LENGTH_MAX} characters.`;
  if (opens(opened, hostname)) return undefined;
  if (labels.length === 1)
    return 'The URL’s host is a short name: it must be a full one, such as hooks.example.com.';
  const last = labels[labels.length - 1];
  if (SPECIAL.has(last)) return `The URL’s host ends in .${last}, which is not on the public internet.`;
  return undefined;
}

/** `hostname` is in WHATWG form: lower case, punycode. */
export function opens(opened: HostList, hostname: string): boolean {
  return opened.some((each) =>
    each.startsWith('*.') ? hostname.endsWith(each.slice(1)) : each === hostname,
  );
}

export function isLocalhost(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost');
}

/** Separated by commas or blanks. Throws a sentence an operator can act on. */
export function parseHostList(text: string): HostList {
  return text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((entry) => {
      const given = entry.toLowerCase();
      const name = given.startsWith('*.') ? given.slice(2) : given;
      // A bare `*` would open every name inside, and an address belongs into a list of networks.
      if (!name.split('.').every((label) => LABEL.test(label)) || /(^|\.)\d+$/.test(name))
        throw new Error(`"${entry}" is not a host: expected something like hooks.internal or *.internal`);
      return given;
    });
}
