export { ensureKeyFile, findKeyring, keyFileOf, loadKeyring } from './key-file.js';
export { ConfigError, describeConfig, envExample, loadConfig, type Config } from './config.js';
export { VARIABLES } from './variables.js';
export { egressProxyOf, urlPolicyOf } from './dialling.js';
export type { EgressProxy } from './egress-proxy.js';
export { parseOrigins } from './origins.js';
export { configWarnings } from './warnings.js';
