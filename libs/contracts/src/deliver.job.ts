/** The only job: a ticket for one delivery. Its id is the delivery's id, its group the endpoint's, its data `{}`. */
export const DELIVER_QUEUE = 'deliver';

/** The NOTIFY channel that wakes the workers. Its payload only hastens: due work is looked up, never announced. */
export const DUE_CHANNEL = 'posthorn_due';

/** `firsts`: first attempts are due, as after every T1. `tickets`: these, or retries. `lanes`: some lane may promote. A list: these endpoints' lanes may, and something may be due. */
export type DueNotice = 'firsts' | 'tickets' | 'lanes' | { endpointIds: readonly string[] };

// PostgreSQL takes 8,000 bytes; whoever is left out is found by the loop a second later.
const ENDPOINTS_NAMED_MAX = 100;

export function dueNoticePayload(notice: DueNotice): string {
  if (notice === 'tickets') return '';
  if (notice === 'lanes' || notice === 'firsts') return notice;
  return notice.endpointIds.length > ENDPOINTS_NAMED_MAX ? 'lanes' : notice.endpointIds.join(',');
}

export function parseDueNotice(payload: string): DueNotice {
  if (payload === '') return 'tickets';
  if (payload === 'firsts') return payload;
  return /^[0-9a-f,-]{36,}$/.test(payload) ? { endpointIds: payload.split(',') } : 'lanes';
}
