export {
  AcceptEvents,
  type AcceptAnswer,
  type AcceptedEvent,
  type AcceptRequest,
  type AcceptResult,
} from './accept-events.js';
export { TEST_EVENT_TYPE, type AcceptableEvent, type ParsedEvent } from './plan-events.js';
export { PublishNotices } from './publish-notices.js';
export { WatchBacklog } from './watch-backlog.js';
