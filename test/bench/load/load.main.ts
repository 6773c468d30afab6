import { serveCalls } from '../../support/child.js';
import { postSigned } from './post-signed.js';
import { publishBatches } from './publish-batches.js';
import { publishFlatOut } from './publish-flat-out.js';
import { publishPaced } from './publish-paced.js';

/** The load generator: a process of its own, so that its work is not charged to anything that is measured. */
const calls = { postSigned, publishBatches, publishFlatOut, publishPaced };
export type LoadCalls = typeof calls;

serveCalls(calls);
