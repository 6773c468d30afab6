/** Where deliveries leave through. The operator's own choice: its address is not judged, and reached only as a proxy. */
export interface EgressProxy {
  readonly hostname: string;
  readonly port: number;
  /** The value of `proxy-authorization`; a secret. */
  readonly authorization: string | null;
}

/** Throws a sentence that does not repeat the text: there is a password in it. */
export function parseEgressProxy(text: string): EgressProxy {
  const url = URL.parse(text);
  if (
    url === null ||
    url.protocol !== 'http:' ||
    url.pathname !== '/' ||
    url.search !== '' ||
    url.hash !== ''
  )
    throw new Error('expected a proxy as http://host:port or http://user:password@host:port');
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    hostname: url.hostname,
    port: url.port === '' ? 80 : Number(url.port),
    authorization:
      credentials === ':' ? null : `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`,
  };
}
