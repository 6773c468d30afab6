export {
  DeliverQueue,
  type ClaimOf,
  type NewTicket,
  type QueueEvents,
  type Ticket,
} from './deliver-queue.js';
export { DueListener } from './due-listener.js';
