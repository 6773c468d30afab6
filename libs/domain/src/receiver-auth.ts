import { checkCustomHeaders } from './custom-headers.js';
import type { FieldProblem } from './retry-policy.js';

/** What a receiver wants to see in `authorization`, complete with its secret. */
export type ReceiverAuth =
  | { readonly type: 'basic'; readonly username: string; readonly password: string }
  | { readonly type: 'bearer'; readonly token: string }
  | OAuth2Auth;

/** Client credentials (RFC 6749, 4.4): a token server gives tokens for this id and secret. */
export interface OAuth2Auth {
  readonly type: 'oauth2';
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope?: string;
  /** Some token servers want to know whom the token is for (RFC 8707 calls it otherwise; Auth0 and others so). */
  readonly audience?: string;
  /** Where id and secret stand in the request: in `authorization`, or in the form. */
  readonly clientAuth: 'basic' | 'post';
}

/** How TLS is spoken to one endpoint: who we are there, and whom it is believed to be. All PEM. */
export interface TlsIdentity {
  /** Shown when the receiver asks for one, with its chain. */
  readonly clientCertificate: string | null;
  readonly clientKey: string | null;
  /** Trusted INSTEAD of the public roots: who names an authority says that no other vouches for the receiver. */
  readonly ca: string | null;
}

/** One more header with a signature, for a receiver that was written for somebody else's. */
export interface SignatureHeader {
  readonly name: string;
  readonly format: 'github' | 'stripe';
  /** The receiver's own; null: the endpoint's live secrets sign. */
  readonly secret: string | null;
}

export const SIGNATURE_HEADERS_MAX = 3;
export const PEM_LENGTH_MAX = 16_384;

/** The member of each kind of auth that is a secret. */
export const AUTH_SECRETS = { basic: 'password', bearer: 'token', oauth2: 'clientSecret' } as const;

interface Rule {
  readonly pattern: RegExp;
  readonly lengthMax: number;
  readonly says: string;
  readonly optional?: true;
}

// What the header's grammars can carry, and no more: what a receiver cannot read is refused here and not three days long.
const TEXT: Rule = {
  pattern: /^\P{Cc}+$/u,
  lengthMax: 1024,
  says: 'must be a text of 1 to 1024 characters without control characters',
};
const VISIBLE: Rule = {
  pattern: /^[\x20-\x7e]+$/,
  lengthMax: 1024,
  says: 'must be 1 to 1024 ASCII characters without control characters',
};
const RULES: Record<ReceiverAuth['type'], Record<string, Rule>> = {
  basic: {
    // RFC 7617: the first colon ends it.
    username: { ...TEXT, pattern: /^[^:\p{Cc}]+$/u, says: `${TEXT.says} and colons` },
    password: TEXT,
  },
  bearer: {
    token: {
      pattern: /^[\x21-\x7e]+$/,
      lengthMax: 4096,
      says: 'must be 1 to 4096 visible ASCII characters, without `Bearer` before it',
    },
  },
  oauth2: {
    tokenUrl: { pattern: /^/, lengthMax: 2048, says: 'must be a URL of at most 2048 characters' },
    clientId: VISIBLE,
    clientSecret: VISIBLE,
    scope: {
      pattern: /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/,
      lengthMax: 1024,
      says: 'must be scopes separated by single blanks, 1024 characters at most',
      optional: true,
    },
    audience: { ...TEXT, optional: true },
    clientAuth: { pattern: /^(?:basic|post)$/, lengthMax: 5, says: 'must be basic or post', optional: true },
  },
};

/** What is wrong with an `auth`; empty when nothing is. No value is repeated. Whether its URL may be dialled is judged elsewhere. */
export function receiverAuthProblems(value: unknown): FieldProblem[] {
  if (!isObject(value)) return [{ pointer: '', detail: 'must be an object' }];
  const { type, ...members } = value;
  if (typeof type !== 'string' || !Object.hasOwn(RULES, type))
    return [{ pointer: '/type', detail: `must be one of ${Object.keys(RULES).join(', ')}` }];
  const rules = RULES[type as ReceiverAuth['type']];
  const problems: FieldProblem[] = [];
  for (const [name, rule] of Object.entries(rules)) {
    const given = members[name];
    if (given === undefined && rule.optional) continue;
    if (
      typeof given !== 'string' ||
      !given.isWellFormed() ||
      given.length > rule.lengthMax ||
      !rule.pattern.test(given)
    )
      problems.push({ pointer: `/${name}`, detail: rule.says });
  }
  return [...problems, ...unknownMembers(members, Object.keys(rules), `an auth of type ${type}`)];
}

/** What is wrong with `signatureHeaders`, beside these custom headers; empty when nothing is. */
export function signatureHeadersProblems(value: unknown, customHeaders: Iterable<string>): FieldProblem[] {
  if (!Array.isArray(value)) return [{ pointer: '', detail: 'must be a list' }];
  if (value.length > SIGNATURE_HEADERS_MAX)
    return [{ pointer: '', detail: `must have at most ${SIGNATURE_HEADERS_MAX} entries` }];
  const taken = new Set([...customHeaders].map((name) => name.toLowerCase()));
  return value.flatMap((each: unknown, at) => {
    const problems = signatureHeaderProblems(each, taken);
    if (isObject(each) && typeof each.name === 'string') taken.add(each.name.toLowerCase());
    return problems.map(({ pointer, detail }) => ({ pointer: `/${at}${pointer}`, detail }));
  });
}

function signatureHeaderProblems(value: unknown, taken: ReadonlySet<string>): FieldProblem[] {
  if (!isObject(value)) return [{ pointer: '', detail: 'must be an object' }];
  const { name, format, secret, ...others } = value;
  const problems: FieldProblem[] = [];
  // What may stand beside our headers is one rule; `authorization` is no place for a signature.
  const [refused] = typeof name === 'string' ? checkCustomHeaders({ [name]: 'v' }) : [];
  if (typeof name !== 'string') problems.push({ pointer: '/name', detail: 'must be the name of a header' });
  else if (refused !== undefined) problems.push({ pointer: '/name', detail: refused.message });
  else if (name.toLowerCase() === 'authorization')
    problems.push({ pointer: '/name', detail: 'must not be authorization: that header is set by auth' });
  else if (taken.has(name.toLowerCase()))
    problems.push({ pointer: '/name', detail: 'must not be the name of another header of the endpoint' });
  if (format !== 'github' && format !== 'stripe')
    problems.push({ pointer: '/format', detail: 'must be one of github, stripe' });
  const badSecret =
    typeof secret !== 'string' ||
    !secret.isWellFormed() ||
    secret.length > TEXT.lengthMax ||
    !TEXT.pattern.test(secret);
  if (secret !== undefined && secret !== null && badSecret)
    problems.push({ pointer: '/secret', detail: TEXT.says });
  return [...problems, ...unknownMembers(others, ['name', 'format', 'secret'], 'a signature header')];
}

/** Refused, not ignored: a misspelt `audiance` would otherwise quietly be none. */
function unknownMembers(members: Record<string, unknown>, known: string[], what: string): FieldProblem[] {
  return Object.keys(members)
    .filter((name) => !known.includes(name))
    .slice(0, 10)
    .map((name) => ({
      pointer: `/${name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`,
      detail: `is not a field of ${what}; there are ${known.join(', ')}`,
    }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
