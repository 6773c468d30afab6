import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';

/** What anybody may know of a certificate. */
export interface CertificateFacts {
  subject: string;
  issuer: string;
  notBefore: Date;
  notAfter: Date;
  /** SHA-256, as `openssl x509 -fingerprint -sha256` writes it. */
  fingerprint: string;
}

// A leaf and its chain, or a company's authorities; more is a browser's whole store.
const CERTIFICATES_MAX = 10;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[A-Za-z0-9+/=\s]+-----END \1-----/g;

/** Those of a PEM text, in its order. */
export function certificatesIn(pem: string): CertificateFacts[] {
  return parse(pem).map((certificate) => ({
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    fingerprint: certificate.fingerprint256,
  }));
}

/** Why this cannot be a client certificate with its chain, the leaf first; null when it can. */
export function clientCertificateProblem(pem: string, now: Date): string | null {
  const certificates = tryParse(pem);
  if (certificates === null) return `must be 1 to ${CERTIFICATES_MAX} certificates in PEM, and nothing else`;
  return certificates[0].validToDate <= now ? `has expired on ${dateOf(certificates[0])}` : null;
}

/** Why this cannot be its private key; null when it is. The key is never repeated. */
export function clientKeyProblem(pem: string, certificatePem: string): string | null {
  let key: KeyObject;
  try {
    if (blocksOf(pem)?.length !== 1) return 'must be one private key in PEM, and nothing else';
    key = createPrivateKey(pem);
  } catch {
    return 'must be a private key in PEM, not encrypted';
  }
  return parse(certificatePem)[0].checkPrivateKey(key) ? null : 'is not the key of the client certificate';
}

/** Why these cannot vouch for a receiver; null when they can. */
export function authoritiesProblem(pem: string, now: Date): string | null {
  const certificates = tryParse(pem);
  if (certificates === null) return `must be 1 to ${CERTIFICATES_MAX} certificates in PEM, and nothing else`;
  for (const [at, certificate] of certificates.entries()) {
    const which = certificates.length === 1 ? '' : `: number ${at + 1}`;
    if (!certificate.ca) return `must be certificates of authorities (CA:TRUE)${which}`;
    if (certificate.validToDate <= now) return `has expired on ${dateOf(certificate)}${which}`;
  }
  return null;
}

function tryParse(pem: string): X509Certificate[] | null {
  try {
    const certificates = parse(pem);
    return certificates.length === 0 || certificates.length > CERTIFICATES_MAX ? null : certificates;
  } catch {
    return null;
  }
}

function parse(pem: string): X509Certificate[] {
  const blocks = blocksOf(pem);
  if (blocks === null) throw new Error('not PEM');
  return blocks.map((block) => new X509Certificate(block));
}

/** The blocks, when there is nothing but them: what else there is might be a key that nobody would see. */
function blocksOf(pem: string): string[] | null {
  return pem.replaceAll(BLOCK, '').trim() === '' ? (pem.match(BLOCK) ?? []) : null;
}

/** Node gives a line to each part of a name. */
function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}

function dateOf({ validToDate }: X509Certificate): string {
  return validToDate.toISOString();
}
