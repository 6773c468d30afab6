export {
  DeliverQueue,
  type ClaimOf,
  type NewTicket,
  type QueueEvents,
  type Ticket,
  type TicketInHand,
} from './deliver-queue.js';
export { DueListener } from './due-listener.js';
