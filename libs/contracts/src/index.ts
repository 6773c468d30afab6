// First: the decorators of the DTOs ask for it when their files are read.
import 'reflect-metadata';
export * from './deliver.job.js';
export * from './error-codes.js';
export * from './limits.js';
export * from './scopes.js';
export * from './dto/publish-event.dto.js';
export * from './dto/delivery.dto.js';
export * from './dto/delivery-timeline.dto.js';
export * from './dto/event-read.dto.js';
export * from './dto/replay.dto.js';
export * from './dto/endpoint-secret.dto.js';
export * from './dto/endpoint-input.dto.js';
export * from './dto/endpoint.dto.js';
export * from './dto/event-type.dto.js';
export * from './dto/page.dto.js';
export * from './dto/problem.dto.js';
export * from './dto/subscriber.dto.js';
export * from './dto/field-rules.js';
