export {
  AcceptEvents,
  type AcceptAnswer,
  type AcceptedEvent,
  type AcceptRequest,
  type AcceptResult,
} from './accept-events.js';
export { parseBatch, parseEvent, type ParsedEvent } from './parse-events.js';
export { TEST_EVENT_TYPE, type AcceptableEvent } from './plan-events.js';
export { PublishNotices } from './publish-notices.js';
export { shapeOf } from './raw-json.js';
