import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyError, classifyStatus, FAILURE_CLASSES, FAILURES, isFailureClass } from './failure.js';

const coded = (code: string, more: object = {}) => Object.assign(new Error('some text'), { code }, more);

describe('classifyStatus', () => {
  it.each([
    [200, null],
    [201, null],
    [204, null],
    [299, null],
    [101, 'incomplete_response'],
    [300, 'redirect'],
    [302, 'redirect'],
    [304, 'redirect'],
    [399, 'redirect'],
    [400, 'http_4xx'],
    [404, 'http_4xx'],
    [408, 'retry_later_408_425'],
    [425, 'retry_later_408_425'],
    [424, 'http_4xx'],
    [410, 'gone_410'],
    [413, 'payload_too_large_413'],
    [429, 'rate_limited_429'],
    [500, 'http_5xx'],
    [502, 'gateway_502_504'],
    [503, 'http_5xx'],
    [504, 'gateway_502_504'],
    [999, 'http_5xx'],
  ])('%d is %s', (status, expected) => expect(classifyStatus(status)).toBe(expected));

  it('only 2xx is success', () => {
    for (let status = 100; status < 1000; status++) {
      expect(classifyStatus(status) === null).toBe(status >= 200 && status < 300);
    }
  });
});

describe('classifyError', () => {
  it.each([
    [coded('ENOTFOUND'), 'dns_nxdomain'],
    [coded('ESERVFAIL'), 'dns_servfail'],
    [coded('ETIMEOUT'), 'dns_timeout'],
    [coded('ECONNREFUSED'), 'connect_refused'],
    [coded('ETIMEDOUT'), 'connect_timeout'],
    [coded('ENETUNREACH'), 'unreachable'],
    [coded('CERT_HAS_EXPIRED'), 'tls_cert_expired'],
    [coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'tls_name_mismatch'],
    [coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'tls_untrusted'],
    [coded('ERR_SSL_WRONG_VERSION_NUMBER'), 'tls_handshake'],
    [coded('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), 'tls_client_refused'],
    [coded('ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE'), 'tls_client_refused'],
    [coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), 'tls_client_refused'],
    [coded('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'), 'tls_handshake'],
    [coded('ECONNRESET'), 'reset_before_response'],
    [coded('CLOSED'), 'reset_before_response'],
    [coded('ERR_INVALID_URL'), 'config_invalid'],
    [coded('EMFILE'), 'internal'],
    // The innermost known code counts when the outer one says nothing.
    [new Error('outer', { cause: coded('EHOSTUNREACH') }), 'unreachable'],
    [coded('SOMETHING', { cause: coded('ECONNRESET') }), 'reset_before_response'],
    [new AggregateError([coded('WHO_KNOWS'), coded('ECONNREFUSED')]), 'connect_refused'],
    [Object.assign(new AggregateError([coded('ENETUNREACH')]), { code: 'ECONNREFUSED' }), 'connect_refused'],
    // Text decides nothing.
    [new Error('connect ECONNREFUSED 10.0.0.1:80'), 'internal'],
    [coded('constructor'), 'internal'],
    [{ code: 42 }, 'internal'],
    [undefined, 'internal'],
    ['ECONNREFUSED', 'internal'],
  ])('%# %s', (error, expected) => expect(classifyError(error)).toBe(expected));

  it('ends on a cycle and answers for anything', () => {
    const cyclic: { cause?: unknown } = {};
    cyclic.cause = cyclic;
    expect(classifyError(cyclic)).toBe('internal');
    fc.assert(fc.property(fc.anything(), (value) => FAILURE_CLASSES.includes(classifyError(value))));
  });
});

it.each([
  ['permanent', 'receiver', ['redirect', 'http_4xx', 'payload_too_large_413', 'receiver_abort']],
  [
    'permanent',
    'config',
    ['blocked_address', 'blocked_port', 'config_invalid', 'expired', 'proxy_refused', 'verification_failed'],
  ],
  ['disable', 'receiver', ['gone_410']],
  ['retry', 'platform', ['internal', 'proxy_failed']],
] as const)('%s, charged to %s, are exactly %j', (action, chargeTo, expected) => {
  const found = FAILURE_CLASSES.filter(
    (name) => FAILURES[name].action === action && FAILURES[name].chargeTo === chargeTo,
  );
  expect(found.toSorted()).toEqual([...expected].toSorted());
});

it('is closed, and retries all the rest at the cost of the receiver', () => {
  const retried = FAILURE_CLASSES.filter(
    (name) => FAILURES[name].action === 'retry' && FAILURES[name].chargeTo === 'receiver',
  );
  expect(retried).toHaveLength(22);
  expect(FAILURE_CLASSES).toHaveLength(35);
  expect(FAILURE_CLASSES.every(isFailureClass)).toBe(true);
  expect(isFailureClass('toString')).toBe(false);
});
