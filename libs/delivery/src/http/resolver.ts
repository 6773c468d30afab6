import { promises as dns } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

/** Host name to addresses. Rejects with an error whose `code` is one of DNS's; an empty answer is never given. */
export interface HostResolver {
  resolve(hostname: string): Promise<readonly string[]>;
}

// Beyond this a name server is not answering, it is holding a slot.
const TIMEOUT_MS = 5000;
// c-ares tries again after the first timeout, without listening for the first answer any more; two tries fit into the bound above.
const QUERY_TIMEOUT_MS = 2500;
const QUERY_TRIES = 2;
// All are judged before one is dialled; nobody has so many. A TCP answer holds four thousand.
const ADDRESSES_MAX = 512;
const HOSTS_FILE_MAX_AGE_MS = 10_000;
const HOSTS_FILE_BYTES_MAX = 1 << 20;

/**
 * Asks DNS on sockets of its own: dns.lookup would queue behind four threads, where one dead zone holds up every
 * endpoint. What dns.lookup gives beyond DNS is kept: `localhost`, and names in /etc/hosts (compose's extra_hosts).
 * Search domains are not applied: a customer's short name must not become a name inside our network.
 *
 * `localhost` is 127.0.0.1 and not also ::1, because one forbidden answer refuses a name, and who allows 127.0.0.0/8
 * means localhost.
 */
export class DnsResolver implements HostResolver {
  /** Sixty connections to one new host are one question. Nothing is kept after the answer: that would be a cache. */
  private readonly asking = new Map<string, Promise<readonly string[]>>();
  private hosts: { names: ReadonlyMap<string, readonly string[]>; readAt: number } | undefined;

  constructor(
    private readonly hostsFile = '/etc/hosts',
    private readonly servers?: readonly string[],
    private readonly timeoutMs = TIMEOUT_MS,
  ) {}

  resolve(hostname: string): Promise<readonly string[]> {
    const name = hostname.toLowerCase();
    let asked = this.asking.get(name);
    if (asked === undefined) {
      asked = this.ask(name).finally(() => this.asking.delete(name));
      this.asking.set(name, asked);
    }
    return asked;
  }

  private async ask(name: string): Promise<readonly string[]> {
    if (name === 'localhost' || name.endsWith('.localhost')) return ['127.0.0.1'];
    const local = (await this.localNames()).get(name);
    if (local !== undefined) return local;
    const channel = this.channel();
    const [v4, v6] = await Promise.allSettled([
      this.bounded(channel.resolve4(name)),
      this.bounded(channel.resolve6(name)),
    ]);
    // What goes on beyond its bound would keep a socket.
    channel.cancel();
    const addresses = [
      ...(v4.status === 'fulfilled' ? v4.value : []),
      ...(v6.status === 'fulfilled' ? v6.value : []),
    ];
    if (addresses.length > ADDRESSES_MAX) throw codedError('EBADRESP');
    if (addresses.length > 0) return addresses;
    throw worstOf([v4, v6]);
  }

  /**
   * A channel for each name. c-ares shortens its timeouts to what a channel's answers took before: on a shared one, after
   * sixty quick names, a zone that takes 1.5 s was given up after 1 s, twice, and never found. (0.05 ms more a name.)
   */
  private channel(): dns.Resolver {
    const channel = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
    if (this.servers !== undefined) channel.setServers(this.servers);
    return channel;
  }

  private bounded(answer: Promise<string[]>): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(codedError('ETIMEOUT')), this.timeoutMs);
      answer.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  private async localNames(): Promise<ReadonlyMap<string, readonly string[]>> {
    const now = performance.now();
    if (this.hosts === undefined || now - this.hosts.readAt > HOSTS_FILE_MAX_AGE_MS) {
      const text = await readFile(this.hostsFile, 'utf8').catch(() => '');
      this.hosts = { names: parseHosts(text.slice(0, HOSTS_FILE_BYTES_MAX)), readAt: now };
    }
    return this.hosts.names;
  }
}

/** `address name alias… # comment`, as hosts(5) has it. */
export function parseHosts(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address, ...aliases] = line.split('#', 1)[0].trim().split(/\s+/);
    if (!address || isIP(address) === 0) continue;
    for (const alias of aliases) {
      const name = alias.toLowerCase();
      const known = names.get(name);
      if (known === undefined) names.set(name, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return names;
}

/** "Does not exist" only if both questions were answered so: one timeout leaves it open, and is what to tell. */
function worstOf(answers: readonly PromiseSettledResult<string[]>[]): Error {
  const errors = answers.flatMap((each) =>
    each.status === 'rejected' ? [each.reason as NodeJS.ErrnoException] : [],
  );
  const open = errors.find(({ code }) => code !== 'ENOTFOUND' && code !== 'ENODATA');
  if (open === undefined) return errors[0] ?? codedError('ENODATA');
  // A refusing name server is not a refusing receiver, though both say ECONNREFUSED.
  return open.code === 'ECONNREFUSED' ? codedError('EREFUSED') : open;
}

function codedError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
