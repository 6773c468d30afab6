const LOCAL = new Set(['localhost', '127.0.0.1', '[::1]']);

/** The origins of a comma-separated list, as browsers send them. @throws Error for what is none; a star is none: whoever may call is named */
export function parseOrigins(list: string): string[] {
  const origins = list
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
  const wrong = origins.find((each) => !isOrigin(each));
  if (wrong !== undefined)
    throw new Error(
      `an origin is like https://portal.example.com (http for localhost only), without a path; ${wrong} is none`,
    );
  return origins;
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { origin, protocol, hostname } = new URL(text);
  return origin === text && (protocol === 'https:' || (protocol === 'http:' && LOCAL.has(hostname)));
}

/** A DNS name, as in `WebHook-Request-Origin`. @throws Error */
export function parseOriginName(text: string): string {
  if (
    text.length > 253 ||
    !/^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/i.test(text)
  )
    throw new Error('it is a DNS name, as posthorn.example.com');
  return text;
}
