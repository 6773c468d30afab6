export { AttemptDelivery, type Outcome, type Sender } from './attempt-delivery.js';
export { HttpSender, type HttpSenderOptions, type SendRequest, type SendResult } from './http/http-sender.js';
export { RecordOutcomes, type FinishedTicket } from './record-outcomes.js';
export { KeepLanes } from './keep-lanes.js';
