import { Problem, type ErrorCode, type FieldProblem } from '@app/contracts';
import {
  AUTH_SECRETS,
  checkEndpointUrl,
  PEM_LENGTH_MAX,
  receiverAuthProblems,
  signatureHeadersProblems,
  type OAuth2Auth,
  type ReceiverAuth,
  type SignatureHeader,
  type TlsIdentity,
  type UrlPolicy,
} from '@app/domain';
import type { Credentials, ShownCredentials, SignatureKind } from '@app/persistence';
import { authoritiesProblem, clientCertificateProblem, clientKeyProblem } from './certificates.js';
import { MASK } from './headers.js';

/** How an endpoint wants to be shown who we are, as asked: unchecked. Absent stays, or has its default; null is none. */
export interface CredentialsWanted {
  signatures?: SignatureKind[];
  signatureHeaders?: unknown;
  auth?: unknown;
  tls?: unknown;
}

interface Circumstances {
  policy: UrlPolicy;
  now: Date;
}

/** Whether anything of it is to change. */
export function concernsCredentials({ signatures, signatureHeaders, auth, tls }: CredentialsWanted): boolean {
  return [signatures, signatureHeaders, auth, tls].some((each) => each !== undefined);
}

/**
 * What was before with what is wanted, checked. A secret that is the mask means
 * the one we have: it was read and sent back. @throws Problem invalid_auth, invalid_tls, invalid_signature_header
 */
export function changeCredentials(
  before: Credentials,
  wanted: CredentialsWanted,
  on: Circumstances,
): Credentials {
  const { signatures, signatureHeaders, auth, tls } = wanted;
  return {
    signatures: signatures === undefined ? before.signatures : inOrder(signatures),
    signatureHeaders:
      signatureHeaders === undefined
        ? before.signatureHeaders
        : checkSignatureHeaders(before.signatureHeaders, signatureHeaders ?? []),
    auth: auth === undefined ? before.auth : checkAuth(before.auth, auth, on.policy),
    tls: tls === undefined ? before.tls : checkTls(before.tls, tls, on.now),
  };
}

/**
 * What would contradict itself on the wire, whichever part of it is new. @throws Problem invalid_auth, invalid_tls,
 * invalid_signature_header
 */
export function refuseContradictions(
  {
    auth,
    tls,
    signatureHeaders,
  }: Pick<ShownCredentials, 'auth' | 'tls'> & { signatureHeaders: readonly { name: string }[] },
  { url, headerNames }: { url: string; headerNames: string[] },
): void {
  const names = new Set(headerNames.map((name) => name.toLowerCase()));
  if (auth !== null && names.has('authorization'))
    refuse('invalid_auth', '/auth', [
      { pointer: '', detail: 'cannot stand beside a custom header authorization: take one of the two away' },
    ]);
  if (tls !== null && !url.startsWith('https:'))
    refuse('invalid_tls', '/tls', [{ pointer: '', detail: 'needs an https URL' }]);
  const at = signatureHeaders.findIndex(({ name }) => names.has(name.toLowerCase()));
  if (at >= 0)
    refuse('invalid_signature_header', '/signatureHeaders', [
      { pointer: `/${at}/name`, detail: 'must not be the name of a custom header of the endpoint' },
    ]);
}

/** One spelling of each choice, as the table has it. */
function inOrder(signatures: SignatureKind[]): SignatureKind[] {
  return (['v1', 'v1a'] as const).filter((kind) => signatures.includes(kind));
}

function checkSignatureHeaders(before: readonly SignatureHeader[], wanted: unknown): SignatureHeader[] {
  refuse('invalid_signature_header', '/signatureHeaders', signatureHeadersProblems(wanted, []));
  return (wanted as { name: string; format: SignatureHeader['format']; secret?: string | null }[]).map(
    ({ name, format, secret = null }, at) => {
      if (secret !== MASK) return { name, format, secret };
      const known = before.find((each) => each.name.toLowerCase() === name.toLowerCase())?.secret ?? null;
      if (known === null)
        refuse('invalid_signature_header', '/signatureHeaders', [
          {
            pointer: `/${at}/secret`,
            detail: 'is the mask of a secret that we do not have: give the secret',
          },
        ]);
      return { name, format, secret: known };
    },
  );
}

function checkAuth(before: ReceiverAuth | null, wanted: unknown, policy: UrlPolicy): ReceiverAuth | null {
  if (wanted === null || isNone(wanted)) return null;
  const given = withKnownSecret(before, wanted, policy);
  refuse('invalid_auth', '/auth', receiverAuthProblems(given));
  const auth = given as ReceiverAuth;
  if (auth.type !== 'oauth2') return auth;
  const url = checkEndpointUrl(auth.tokenUrl, policy);
  if (!url.ok)
    throw new Problem('invalid_auth', url.message, {
      errors: [{ pointer: '/auth/tokenUrl', detail: url.message }],
    });
  return { ...auth, tokenUrl: url.url, clientAuth: auth.clientAuth ?? 'basic' };
}

/** With the secret that we have where the mask stands. Whatever else is wrong with it is found later. */
function withKnownSecret(before: ReceiverAuth | null, wanted: unknown, policy: UrlPolicy): unknown {
  const given = wanted as Record<string, unknown>;
  if (!Object.hasOwn(AUTH_SECRETS, String(given.type))) return wanted;
  const name = AUTH_SECRETS[given.type as ReceiverAuth['type']];
  if (given[name] !== MASK) return wanted;
  // Whoever may change the token URL but does not know the secret could have it sent to himself.
  const known =
    before?.type === given.type && (before?.type !== 'oauth2' || isTokenUrl(before, given.tokenUrl, policy));
  if (!known) {
    const detail = 'is the mask of a secret that we do not have for this: give the secret';
    refuse('invalid_auth', '/auth', [{ pointer: `/${name}`, detail }]);
  }
  return { ...given, [name]: (before as unknown as Record<string, string>)[name] };
}

function isTokenUrl({ tokenUrl }: OAuth2Auth, text: unknown, policy: UrlPolicy): boolean {
  if (typeof text !== 'string') return false;
  const url = checkEndpointUrl(text, policy);
  return url.ok && url.url === tokenUrl;
}

function isNone(value: unknown): boolean {
  return typeof value === 'object' && (value as { type?: unknown }).type === 'none';
}

/** Merged field by field: null takes one away. */
function checkTls(before: TlsIdentity | null, wanted: unknown, now: Date): TlsIdentity | null {
  if (wanted === null) return null;
  refuse('invalid_tls', '/tls', formProblems(wanted));
  const change = wanted as Partial<TlsIdentity>;
  const given = { ...change, ...(change.clientKey === MASK ? { clientKey: before?.clientKey ?? null } : {}) };
  const tls = { clientCertificate: null, clientKey: null, ca: null, ...before, ...given };
  const { clientCertificate, clientKey, ca } = tls;
  if (clientCertificate === null && clientKey === null && ca === null) return null;
  const problems: [string, string | null][] = [
    ['ca', ca && authoritiesProblem(ca, now)],
    ['clientCertificate', clientCertificate && clientCertificateProblem(clientCertificate, now)],
  ];
  if (clientCertificate === null && clientKey !== null)
    problems.push(['clientCertificate', 'is missing: a client key needs its certificate']);
  if (clientCertificate !== null && clientKey === null)
    problems.push(['clientKey', 'is missing: a client certificate needs its key']);
  const readable = problems.every(([name, detail]) => name !== 'clientCertificate' || detail === null);
  if (clientCertificate !== null && clientKey !== null && readable)
    problems.push(['clientKey', clientKeyProblem(clientKey, clientCertificate)]);
  refuse(
    'invalid_tls',
    '/tls',
    problems.flatMap(([name, detail]) => (detail === null ? [] : [{ pointer: `/${name}`, detail }])),
  );
  return tls;
}

const TLS_FIELDS = ['clientCertificate', 'clientKey', 'ca'];

function formProblems(wanted: unknown): FieldProblem[] {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted))
    return [{ pointer: '', detail: 'must be an object' }];
  return Object.entries(wanted).flatMap(([name, value]: [string, unknown]) => {
    const pointer = `/${name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!TLS_FIELDS.includes(name))
      return [{ pointer, detail: `is not a field of this; there are ${TLS_FIELDS.join(', ')}` }];
    const fits = value === null || (typeof value === 'string' && value.length <= PEM_LENGTH_MAX);
    return fits
      ? []
      : [{ pointer, detail: `must be a text of at most ${PEM_LENGTH_MAX} characters, or null` }];
  });
}

function refuse(code: ErrorCode, pointer: string, problems: readonly FieldProblem[]): void {
  if (problems.length === 0) return;
  const errors = problems
    .slice(0, 20)
    .map((each) => ({ pointer: pointer + each.pointer, detail: each.detail }));
  throw new Problem(code, `\`${errors[0].pointer}\` ${errors[0].detail}.`, { errors });
}
