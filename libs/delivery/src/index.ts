export { AttemptDelivery, gate, withoutAttempt, type Outcome, type Sender } from './attempt-delivery.js';
export { CountAttempts } from './count-attempts.js';
export { LaneSignals } from './lane-signals.js';
export { RateSlots, type SlotsGiven, type SlotsWanted } from './rate-slots.js';
export { HttpSender, type HttpSenderOptions, type SendRequest, type SendResult } from './http/http-sender.js';
export { RecordOutcomes, type FinishedTicket } from './record-outcomes.js';
export { promoteHeld } from './promote-held.js';
export { KeepLanes } from './keep-lanes.js';
