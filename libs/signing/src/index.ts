export { generateSecret, InvalidSecretError, parseSecret } from './secrets.js';
export type { SecretProblem } from './secrets.js';
export { sign } from './sign.js';
export type { SignInput } from './sign.js';
export { verify } from './verify.js';
export type { VerifyFailure, VerifyOptions, VerifyResult } from './verify.js';
