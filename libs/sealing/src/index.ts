export { DataKey, type Place } from './data-key.js';
export { Keyring, type WrappedKey } from './keyring.js';
export { KeksError, newKekText, parseKeks, type Kek } from './keks.js';
export { SealError, type SealProblem } from './seal-error.js';
