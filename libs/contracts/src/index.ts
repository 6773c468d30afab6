export * from './deliver.job.js';
export * from './error-codes.js';
export * from './limits.js';
export * from './scopes.js';
export * from './dto/publish-event.dto.js';
