import { createHash } from 'node:crypto';
import tls from 'node:tls';
import type { TlsIdentity } from '@app/domain';

/** What names an identity: connections are shared by those who have the same, and by nobody else. */
export function identityKey({ clientCertificate, clientKey, ca }: TlsIdentity): string {
  const hash = createHash('sha256');
  // As JSON, so that no two identities run together to the same text.
  return hash.update(JSON.stringify([clientCertificate, clientKey, ca])).digest('base64url');
}

/** Throws what OpenSSL throws when the three do not fit. `extraRoots` are trusted beside Node's own where no `ca` is named. */
export function secureContextOf(identity?: TlsIdentity, extraRoots?: string): tls.SecureContext {
  return tls.createSecureContext({
    minVersion: 'TLSv1.2',
    cert: identity?.clientCertificate ?? undefined,
    key: identity?.clientKey ?? undefined,
    ca: identity?.ca ?? (extraRoots === undefined ? undefined : [...tls.rootCertificates, extraRoots]),
  });
}
