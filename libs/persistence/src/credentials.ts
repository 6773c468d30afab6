import { AUTH_SECRETS, type ReceiverAuth, type SignatureHeader, type TlsIdentity } from '@app/domain';
import type { DataKey, Place } from '@app/sealing';

export type SignatureKind = 'v1' | 'v1a';

/** How we prove to one receiver who we are, complete with what is secret. */
export interface Credentials {
  signatures: SignatureKind[];
  signatureHeaders: SignatureHeader[];
  auth: ReceiverAuth | null;
  tls: TlsIdentity | null;
}

/** An auth without its password, token or client secret. */
export type ShownAuth =
  | { type: 'basic'; username: string }
  | { type: 'bearer' }
  | {
      type: 'oauth2';
      tokenUrl: string;
      clientId: string;
      scope?: string;
      audience?: string;
      clientAuth: 'basic' | 'post';
    };

/** The same as the columns have it that anybody may read who reads the endpoint. */
export interface ShownCredentials {
  signatures: SignatureKind[];
  signatureHeaders: { name: string; format: SignatureHeader['format']; own: boolean }[];
  auth: ShownAuth | null;
  tls: { clientCertificate: string | null; ca: string | null } | null;
}

/** What was taken out; sealed as JSON in `credentials_sealed`. */
interface Secrets {
  auth?: string;
  clientKey?: string;
  /** By position in `signatureHeaders`; null where the endpoint's own secrets sign. */
  headers?: (string | null)[];
}

export const NO_CREDENTIALS: Credentials = {
  signatures: ['v1'],
  signatureHeaders: [],
  auth: null,
  tls: null,
};

/** The columns of an endpoint. `keyOf` is asked when there is something to seal. */
export async function sealCredentials(
  endpointId: string,
  credentials: Credentials,
  keyOf: () => Promise<DataKey>,
): Promise<ShownCredentials & { credentialsSealed: Buffer | null }> {
  const { signatures, signatureHeaders, auth, tls } = credentials;
  const secrets: Secrets = {};
  let shownAuth: Record<string, unknown> | null = null;
  if (auth !== null) {
    const { [AUTH_SECRETS[auth.type]]: secret, ...rest } = auth as unknown as Record<string, string>;
    secrets.auth = secret;
    shownAuth = rest;
  }
  if (tls?.clientKey) secrets.clientKey = tls.clientKey;
  if (signatureHeaders.some(({ secret }) => secret !== null))
    secrets.headers = signatureHeaders.map(({ secret }) => secret);
  const none = Object.keys(secrets).length === 0;
  return {
    signatures,
    signatureHeaders: signatureHeaders.map(({ name, format, secret }) => ({
      name,
      format,
      own: secret !== null,
    })),
    auth: shownAuth as ShownAuth | null,
    tls: tls && { clientCertificate: tls.clientCertificate, ca: tls.ca },
    credentialsSealed: none ? null : (await keyOf()).seal(credentialsAt(endpointId), JSON.stringify(secrets)),
  };
}

/** What `sealCredentials` took apart. @throws what opening throws, when something is sealed */
export function joinCredentials(
  shown: ShownCredentials,
  sealed: Buffer | null,
  open: (sealed: Buffer) => string,
): Credentials {
  const { signatures, signatureHeaders, auth, tls } = shown;
  const secrets = sealed === null ? {} : (JSON.parse(open(sealed)) as Secrets);
  return {
    signatures,
    signatureHeaders: signatureHeaders.map(({ name, format }, at) => ({
      name,
      format,
      secret: secrets.headers?.[at] ?? null,
    })),
    auth: auth && ({ ...auth, [AUTH_SECRETS[auth.type]]: secrets.auth } as ReceiverAuth),
    tls: tls && { ...tls, clientKey: secrets.clientKey ?? null },
  };
}

export function credentialsAt(endpointId: string): Place {
  return { table: 'endpoints', row: endpointId, column: 'credentials_sealed' };
}
