/**
 * Loaded before a program by tests: its wall clock is off by CLOCK_SHIFT_MS, and by as much to the other side after SIGUSR2.
 * The monotonic clock stays, as it does when somebody sets the time.
 */
let shiftMs = Number(process.env.CLOCK_SHIFT_MS);
if (!Number.isFinite(shiftMs)) throw new Error('CLOCK_SHIFT_MS is missing');
delete process.env.CLOCK_SHIFT_MS;
process.on('SIGUSR2', () => (shiftMs = -shiftMs));

const RealDate = Date;
const now = (): number => RealDate.now() + shiftMs;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: [], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
  apply: () => new RealDate(now()).toString(),
  get: (target, property, receiver) =>
    property === 'now' ? now : (Reflect.get(target, property, receiver) as unknown),
});
