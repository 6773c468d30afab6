/** Endpoints that answer, and how many were delivered to each in the last seventh of a second: see `Successors.answering`. */
type Answering = ReadonlyMap<string, number>;

// Of that, so often: 0.4 s of what is delivered.
const AHEAD = 3;

/** How many tickets of this endpoint a worker takes on before their slots are free: what it delivers there in 0.4 s. */
export function aheadOf(answering: Answering, endpointId: string): number {
  return Math.ceil((answering.get(endpointId) ?? 0) * AHEAD);
}

/**
 * How many tickets to take on now, so that at most `max` wait. A promotion costs as much for one as for hundreds, so there is none until two thirds
 * of them have gone. What waits of an endpoint beyond its own share waits for that endpoint, and is in nobody's way.
 */
export function roomAhead(
  answering: Answering,
  waitingOf: (endpointId: string) => number,
  max: number,
): number {
  let most = 0;
  let waiting = 0;
  for (const endpointId of answering.keys()) {
    const share = aheadOf(answering, endpointId);
    most += share;
    waiting += Math.min(waitingOf(endpointId), share);
  }
  most = Math.min(most, max);
  return waiting * 3 > most ? 0 : most - waiting;
}
