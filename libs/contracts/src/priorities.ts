export const PRIORITIES = ['critical', 'normal'] as const;
/** Of an event: critical ones go before normal ones. */
export type Priority = (typeof PRIORITIES)[number];
