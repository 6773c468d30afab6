import type { Scenario } from '../scenario.js';

/** What the machine can do: every other scenario is told as a share of it, so that numbers from two machines compare. */
export const limit: Scenario = {
  name: 'limit',
  about: 'a bare loop that signs and posts 1 KB to the receiver: what this machine can do',
  run: ({ limit: perSecond }) => Promise.resolve({ value: perSecond, unit: 'requests/s', ratio: 1 }),
};
