/**
 * What a process is to the database, taken at connect. Neither owns a table nor may bypass row security: the api sees
 * what its caller's scope allows, the worker (and the cli) every subscriber.
 */
export const API_ROLE = 'posthorn_api';
export const WORKER_ROLE = 'posthorn_worker';
export type DatabaseRole = typeof API_ROLE | typeof WORKER_ROLE;
