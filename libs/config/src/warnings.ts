import { addressVerdict } from '@app/domain';
import type { Config } from './config.js';
import { urlPolicyOf } from './dialling.js';

// Where clouds hand out credentials to whoever asks from inside.
const METADATA = ['169.254.169.254', '169.254.170.2', '100.100.100.200', '192.0.0.192', 'fd00:ec2::254'];
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
    ...METADATA.filter((address) => addressVerdict(address, urlPolicyOf(config).addresses) === 'allowed').map(
      (address) =>
        `POSTHORN_ALLOW_CIDRS opens ${address}, where a cloud keeps credentials: name it in POSTHORN_DENY_CIDRS.`,
    ),
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
