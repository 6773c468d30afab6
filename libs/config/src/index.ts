export { ConfigError, describeConfig, envExample, loadConfig, type Config } from './config.js';
export { VARIABLES } from './variables.js';
