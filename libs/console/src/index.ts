export { runDoctor, type Check, type DoctorOptions, type DoctorReport } from './doctor.js';
export { CancelDelivery } from './cancel-delivery.js';
export { findSubscriber } from './find-subscriber.js';
export { ReadDeliveries, type Keyed } from './read-deliveries.js';
export { ReadEvents } from './read-events.js';
export { ReplayRunner, type ReplayRound } from './replay-runner.js';
export { Replays } from './replays.js';
export { ResendDelivery, type Resent } from './resend-delivery.js';
export { StartReplay, type ReplayRequest } from './start-replay.js';
