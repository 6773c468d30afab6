/**
 * Loaded before a program (`node --import`) by tests only: makes it die, or its database refuse, at a named place. The
 * program knows nothing of it; what is named here is patched on its compiled classes.
 *
 * FAILPOINT is `name` or `name:nth`: the nth time that the place is reached. See the table below.
 */
import 'reflect-metadata';
import { HttpSender, RecordOutcomes } from '@app/delivery';
import { Tx } from '@app/persistence';

type Method = (...args: never[]) => Promise<unknown>;

const [name = '', argument = '1'] = (process.env.FAILPOINT ?? '').split(':');
// Nobody else's business, and an unknown variable of ours must not confuse the program.
delete process.env.FAILPOINT;

const FAILPOINTS: Record<string, () => void> = {
  /** Worker: the receiver has answered, nothing is written. */
  'after-response': () => patch(HttpSender.prototype, 'send', (original) => after(original, die)),
  /** Worker, T2: outcomes are written in the transaction; lanes and tickets are not, and no COMMIT is sent. */
  'before-settle': () => patch(Tx.prototype, 'commitWith', () => () => die()),
  /** Worker, T2: committed; this process does not know yet. */
  'after-commit': () => patch(Tx.prototype, 'commitWith', (original) => after(original, die)),
  /** Worker: outcomes wait in memory, T2 has not begun. */
  'before-record': () => patch(RecordOutcomes.prototype, 'add', () => () => die()),
  /** Api, T1: some statements have run, no COMMIT is sent. */
  'mid-fanout': () => patch(Tx.prototype, 'commitWith', () => (works: never) => allOf(works).then(die)),
  /** Api, T1: everything but the COMMIT is answered; the COMMIT is sent and not waited for. */
  'in-commit': () => patch(Tx.prototype, 'commitWith', (original) => sendAndDie(original)),
  /** Every nth transaction that comes to its COMMIT is refused as a deadlock's victim, instead of being committed. */
  deadlock: () => patch(Tx.prototype, 'commitWith', (original) => refuseEvery(original, '40P01')),
  /** The same as a serialization failure. */
  serialization: () => patch(Tx.prototype, 'commitWith', (original) => refuseEvery(original, '40001')),
};

const chosen = FAILPOINTS[name];
if (!chosen)
  throw new Error(`There is no failpoint ${name}; there are ${Object.keys(FAILPOINTS).join(', ')}`);
chosen();

const nth = Number(argument);
let reached = 0;

function patch(prototype: object, method: string, wrap: (original: Method) => Method): void {
  const holder = prototype as Record<string, Method | undefined>;
  const original = holder[method];
  // A renamed method must fail the row loudly: a failpoint that is never reached would pass it.
  if (typeof original !== 'function')
    throw new Error(`Failpoint ${name}: there is no method ${method} any more`);
  const hurt = wrap(original);
  holder[method] = function (this: unknown, ...args: never[]) {
    const every = name === 'deadlock' || name === 'serialization';
    if (!every && ++reached !== nth) return original.apply(this, args);
    return hurt.apply(this, args);
  };
}

function after(original: Method, then: () => Promise<never>): Method {
  return async function (this: unknown, ...args: never[]) {
    await original.apply(this, args);
    return then();
  };
}

/** As a power cut: no handler runs, nothing is flushed. */
function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}

/** The statements, without the COMMIT that follows them. */
async function allOf(works: (() => Promise<unknown>)[]): Promise<void> {
  for (const work of works) await work();
}

function sendAndDie(original: Method): Method {
  return function (this: unknown, ...args: never[]) {
    void original.apply(this, args);
    // One turn, so that what was written to the socket has left.
    return new Promise((resolve) => setImmediate(resolve)).then(die);
  };
}

function refuseEvery(original: Method, code: string): Method {
  return function (this: unknown, ...args: never[]) {
    if (++reached % nth !== 0) return original.apply(this, args);
    return Promise.reject(Object.assign(new Error(`planted ${code}`), { code }));
  };
}
