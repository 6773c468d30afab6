/** What may happen, as fast-check draws and shrinks it. Numbers name workers, endpoints and deliveries modulo how many there are. */
import fc from 'fast-check';
import { ANSWERS, POLICIES, type AnswerKind, type World } from './world.js';

class Happening implements fc.Command<object, World> {
  constructor(
    private readonly name: string,
    private readonly args: readonly unknown[],
    private readonly happen: (world: World) => void,
  ) {}

  check(): boolean {
    return true;
  }

  run(_model: object, world: World): void {
    this.happen(world);
    world.model.check();
  }

  toString(): string {
    return `${this.name}(${this.args.join(', ')})`;
  }
}

type Arbitraries<T extends unknown[]> = { [K in keyof T]: fc.Arbitrary<T[K]> };

function happening<T extends unknown[]>(
  name: string,
  arbitraries: Arbitraries<T>,
  happen: (world: World, ...args: T) => void,
): fc.Arbitrary<Happening> {
  return fc
    .tuple<T>(...arbitraries)
    .map((args) => new Happening(name, args, (world) => happen(world, ...args)));
}

const which = fc.nat(3);
const workers = fc.nat(2);
const deliveries = fc.nat(30);
const seconds = fc.constantFrom(0.5, 1, 5, 6, 13, 13, 21, 31, 61, 130, 700, 2000, 4000, 40_000);
const OFTEN: AnswerKind[] = ['error500', 'error500', 'error500', 'hang', 'ok', 'ok', 'ok', 'ok'];
const answers = fc.constantFrom(...(Object.keys(ANSWERS) as AnswerKind[]), ...OFTEN);

const at = <T>(list: readonly T[], n: number): T => list[n % list.length];

const work = happening('work', [workers, fc.integer({ min: 1, max: 4 })], (world, w, rounds) => {
  for (let round = 0; round < rounds; round++) {
    world.work(world.workers[w]);
    world.loops();
  }
});
const pace = fc.constantFrom(1, 6, 35, 130);
const live = happening('live', [fc.integer({ min: 2, max: 8 }), pace], (world, rounds, s) =>
  world.live(rounds, s),
);
/** A worker sleeps with what it has claimed or sent, and life goes on without it. */
const sleep = happening(
  'sleep',
  [workers, fc.boolean(), fc.integer({ min: 1, max: 4 }), pace],
  (world, w, sends, rounds, s) => {
    const worker = world.workers[w];
    world.claim(worker, 8);
    if (sends) world.start(worker);
    worker.frozen = true;
    world.live(rounds, s);
    const other = world.workers[(w + 1) % 3];
    world.claim(other, 8);
    worker.frozen = false;
    world.start(worker);
    world.record(worker, 'follows');
  },
);
const advance = happening('advance', [seconds], (world, s) => world.advance(s));
const claim = happening('claim', [workers, fc.integer({ min: 1, max: 8 })], (world, w, max) =>
  world.claim(world.workers[w], max),
);
const start = happening('start', [workers], (world, w) => world.start(world.workers[w]));
const record = happening(
  'record',
  [workers, fc.constantFrom('follows' as const, 'follows' as const, 'lost' as const)],
  (world, w, follows) => world.record(world.workers[w], follows),
);
const publish = happening(
  'publish',
  [which, fc.integer({ min: 1, max: 5 }), fc.constantFrom('a', 'b'), fc.boolean(), fc.boolean()],
  (world, e, n, key, critical, heard) => world.publish(world.endpoints[e], n, key, critical, heard),
);
const behave = happening('behave', [which, answers], (world, e, answer) =>
  world.behave(world.endpoints[e], answer),
);
const freeze = happening('freeze', [workers], (world, w) => void (world.workers[w].frozen = true));
const wake = happening('wake', [workers], (world, w) => void (world.workers[w].frozen = false));
const crash = happening('crash', [workers], (world, w) => world.crash(world.workers[w]));
const jump = happening('jump', [workers, fc.constantFrom(-7200, 7200, 0)], (world, w, s) => {
  world.workers[w].skewMs = s * 1000;
});
const loops = happening('loops', [], (world) => world.loops());
const resend = happening('resend', [deliveries], (world, n) => {
  if (world.ids.length > 0) world.resend(at(world.ids, n));
});
const cancel = happening('cancel', [deliveries, fc.boolean()], (world, n, heard) => {
  if (world.ids.length > 0) world.cancel(at(world.ids, n), heard);
});
const pause = happening('pause', [which, fc.constantFrom(true, false, false)], (world, e, paused) => {
  world.endpoints[e].paused = paused;
});
const disable = happening('disable', [which], (world, e) => void (world.endpoints[e].disabled = true));
const enable = happening('enable', [which], (world, e) => world.enable(world.endpoints[e]));
const change = happening('policy', [which, fc.nat(2)], (world, e, n) => {
  world.endpoints[e].policy = POLICIES[n].policy;
});
const mend = happening('urlChanged', [which], (world, e) => world.store.probeSoon(world.endpoints[e]));

/** The road is drawn more often than what befalls it, or most runs would be outages of nothing. */
const HAPPENINGS = [
  ...[
    work,
    work,
    live,
    live,
    live,
    sleep,
    sleep,
    advance,
    advance,
    advance,
    claim,
    claim,
    start,
    start,
    record,
    record,
    record,
  ],
  ...[publish, publish, publish, behave, behave, behave, behave, freeze, wake, wake, crash, jump],
  ...[loops, resend, cancel, pause, disable, enable, enable, change, mend],
];

export const HAPPENINGS_MAX = 60;

export function happenings(): fc.Arbitrary<Iterable<fc.Command<object, World>>> {
  return fc.commands(HAPPENINGS, { maxCommands: HAPPENINGS_MAX, size: 'max' });
}

const SOON_SECONDS = 45 * 60;
// The longest retry, after a Retry-After of a day, and the oldest policy's age.
const LATE_SECONDS = 12 * 86_400;

/**
 * Everything is mended and people decide what is theirs to decide. Soon, the longest that a circuit stays open and some,
 * nothing waits for a place any more; and when time has run out, nothing is owed.
 */
export function runOut(world: World): void {
  world.diesAfterRecord = 0;
  for (const worker of world.workers) worker.frozen = false;
  for (const endpoint of world.endpoints) {
    world.behave(endpoint, 'ok');
    endpoint.paused = false;
    world.enable(endpoint);
  }
  // A retry that has just come due waits for a probe, or for those before it: given a little more, that ends.
  const isNear = (elapsed: number): boolean =>
    elapsed < SOON_SECONDS || (elapsed < SOON_SECONDS + 1200 && world.model.stuck() !== undefined);
  for (let elapsed = 0; owes(world) && isNear(elapsed); elapsed += 30) goOn(world, 30);
  const stuck = world.model.stuck();
  if (stuck) throw new Error(stuck);
  for (let elapsed = 0; elapsed < LATE_SECONDS && owes(world); elapsed += 7200) goOn(world, 7200);
  world.model.checkAllEnded();
}

function owes({ store }: World): boolean {
  return store.pending(() => true).length > 0;
}

function goOn(world: World, seconds: number): void {
  world.advance(seconds);
  world.loops();
  for (const worker of world.workers) world.work(worker);
  for (const { state, deliveryId } of [...world.store.keys.values()])
    if (state === 'blocked') world.cancel(deliveryId!, true);
  world.model.check();
}
