import type { Config } from './config.js';

const LOOPBACK = /^(localhost|127(\.\d+){3}|::1|\[::1\])$/;

/** What may be meant but is worth a line at every start: sentences for the operator. */
export function configWarnings(
  config: Config,
  env: NodeJS.ProcessEnv = process.env,
  execArgv: readonly string[] = process.execArgv,
): string[] {
  const inspected = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)].some((each) =>
    each.startsWith('--inspect'),
  );
  return [
    ...(LOOPBACK.test(config.HOST)
      ? []
      : [
          `HOST is ${config.HOST}: whoever reaches this port is served, and keys travel as they are. Put a TLS proxy in front.`,
        ]),
    ...(config.DATABASE_URL !== null && lacksPassword(config.DATABASE_URL)
      ? ['DATABASE_URL names another machine and no password: whoever reaches that database may be let in.']
      : []),
    ...(inspected
      ? ['Node runs with --inspect: whoever reaches that port reads every secret of this process.']
      : []),
    ...(['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'].some((name) => env[name])
      ? [
          'HTTP_PROXY and HTTPS_PROXY are not followed. A proxy for deliveries is named in POSTHORN_EGRESS_PROXY.',
        ]
      : []),
  ];
}

function lacksPassword(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname, password, searchParams } = new URL(url);
  // A socket's path has no host; a certificate may stand for the password.
  return hostname !== '' && !LOOPBACK.test(hostname) && password === '' && !searchParams.has('sslcert');
}
