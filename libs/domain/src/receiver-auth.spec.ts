import { describe, expect, it } from 'vitest';
import { receiverAuthProblems, signatureHeadersProblems } from './receiver-auth.js';

const OAUTH2 = { type: 'oauth2', tokenUrl: 'https://login.example.com/', clientId: 'a', clientSecret: 'b' };
const pointersOf = (problems: readonly { pointer: string }[]) => problems.map(({ pointer }) => pointer);

describe('an auth', () => {
  it.each([
    [{ type: 'basic', username: 'zoë', password: 'a: b' }],
    [{ type: 'bearer', token: 'abc.DEF-123_~+/=' }],
    [OAUTH2],
    [{ ...OAUTH2, scope: 'a b:c', audience: 'https://x.example', clientAuth: 'post' }],
  ])('%j is one', (auth) => expect(receiverAuthProblems(auth)).toEqual([]));

  it.each<[unknown, string[]]>([
    [null, ['']],
    ['Bearer x', ['']],
    [[], ['']],
    [{}, ['/type']],
    [{ type: 'toString' }, ['/type']],
    [{ type: 'basic' }, ['/username', '/password']],
    [{ type: 'basic', username: '', password: 'x' }, ['/username']],
    [{ type: 'basic', username: 'a:b', password: 'a\u0000' }, ['/username', '/password']],
    [{ type: 'basic', username: 'a', password: '\ud800' }, ['/password']],
    [{ type: 'bearer', token: 'a b' }, ['/token']],
    [{ type: 'bearer', token: 'é' }, ['/token']],
    [{ type: 'bearer', token: 'x'.repeat(4097) }, ['/token']],
    [{ type: 'bearer', token: 7, password: 'x' }, ['/token', '/password']],
    [{ ...OAUTH2, clientAuth: 'none', scope: 'a  b', audience: '' }, ['/scope', '/audience', '/clientAuth']],
    [{ ...OAUTH2, clientId: 'é', clientSecret: '' }, ['/clientId', '/clientSecret']],
    [{ ...OAUTH2, 'a/b~c': 1 }, ['/a~1b~0c']],
  ])('%j is none: %j', (auth, pointers) => expect(pointersOf(receiverAuthProblems(auth))).toEqual(pointers));

  it('is refused without its values', () => {
    const problems = receiverAuthProblems({ type: 'bearer', token: 'top secret', other: 'also secret' });
    expect(JSON.stringify(problems)).not.toMatch(/top|also/);
  });
});

describe('signature headers', () => {
  const one = { name: 'x-hub-signature-256', format: 'github' };

  it.each([[[]], [[one]], [[one, { name: 'Stripe-Signature', format: 'stripe', secret: 'any text' }]]])(
    '%j are some',
    (headers) => expect(signatureHeadersProblems(headers, ['x-tenant'])).toEqual([]),
  );

  it.each<[unknown, string[]]>([
    ['x', ['']],
    [[one, { ...one, name: 'b' }, { ...one, name: 'c' }, { ...one, name: 'd' }], ['']],
    [[null], ['/0']],
    [[{ ...one, format: 'svix' }], ['/0/format']],
    [[one, { ...one, name: 'X-Hub-Signature-256' }], ['/1/name']],
    [[{ ...one, name: 'X-Tenant' }], ['/0/name']],
    ...['webhook-signature', 'Authorization', 'content-type', 'posthorn-x', 'a b', '__proto__', 7].map(
      (name): [unknown, string[]] => [[{ ...one, name }], ['/0/name']],
    ),
    [[{ ...one, secret: '' }], ['/0/secret']],
    [[{ ...one, algorithm: 'sha1' }], ['/0/algorithm']],
  ])('%j are none: %j', (headers, pointers) =>
    expect(pointersOf(signatureHeadersProblems(headers, ['x-tenant']))).toEqual(pointers),
  );
});
