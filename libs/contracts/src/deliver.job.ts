/** The only job: a ticket for one delivery. Its id is the delivery's id, its group the endpoint's, its data `{}`. */
export const DELIVER_QUEUE = 'deliver';

/** The NOTIFY channel that wakes the pumps; the payload is empty: due work is looked up, never announced. */
export const DUE_CHANNEL = 'posthorn_due';
