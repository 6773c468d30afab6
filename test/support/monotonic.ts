// performance.now() counts from the start of its process. On one machine hrtime is one clock for all processes,
// and unlike the wall clock nobody sets it, so a span between two processes can be measured in it.
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds, with fractions, on a clock that all processes of this machine share. */
export function monotonicMs(): number {
  return offsetMs + performance.now();
}
