/** What of a request's head depends on its URL only; made once for each. */
export interface HeadStart {
  readonly post: string;
  readonly options: string;
}

/** `path` and `host` as a parsed URL has them: percent-encoded, without a blank. */
export function headStart(path: string, host: string): HeadStart {
  const rest = ` ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  if (!/^[!-~]+$/.test(path) || !/^[!-~]+$/.test(host)) throw new Error('Bug: not from a parsed URL');
  return { post: `POST${rest}`, options: `OPTIONS${rest}` };
}

// A token, as HTTP has it.
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;
/** What frames the request or keeps its connection is said here, and by nobody else. */
const OURS: ReadonlySet<string> = new Set(
  'connection content-length expect host keep-alive te trailer transfer-encoding upgrade'.split(' '),
);

// Names that were found sendable. The same dozen comes with each request, and a few of each customer's.
const sendable = new Set<string>();
const SENDABLE_MAX = 10_000;

/**
 * The whole head of a request, to be sent as latin1. No line of it ends but where it should, whatever a row says:
 * names and values are judged here again, as the last thing before the wire.
 */
export function requestHead(
  start: string,
  headers: Readonly<Record<string, string>>,
  bodyLength: number | undefined,
): string | HeaderRefusal {
  let head = start;
  for (const name in headers) {
    const value = headers[name];
    if (!sendable.has(name)) {
      const problem = problemOf(name);
      if (problem !== undefined) return { message: problem };
      if (sendable.size >= SENDABLE_MAX) sendable.clear();
      sendable.add(name);
    }
    if (typeof value !== 'string' || UNSENDABLE.test(value))
      return { message: `the value of the header ${name} cannot be sent` };
    head += `${name}: ${value}\r\n`;
  }
  return bodyLength === undefined ? `${head}\r\n` : `${head}content-length: ${bodyLength}\r\n\r\n`;
}

/** Never repeats a value. */
export interface HeaderRefusal {
  readonly message: string;
}

function problemOf(name: string): string | undefined {
  if (name.length > 256 || !NAME.test(name)) return 'a header has a name that cannot be sent';
  if (OURS.has(name.toLowerCase())) return `the header ${name} cannot be sent: it is ours`;
  return undefined;
}
