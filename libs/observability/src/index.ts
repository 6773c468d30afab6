export { createLogger, type Logger } from './logger.js';
export { Maintenance, type MaintenanceLoop, type Wait } from './maintenance.js';
export { Metrics } from './metrics.js';
export { ScraperKey } from './scraper-key.js';
export { SharedQuestion } from './shared-question.js';
