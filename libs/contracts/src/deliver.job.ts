/** The only job: a ticket for one delivery. Its id is the delivery's id, its group the endpoint's, its data `{}`. */
export const DELIVER_QUEUE = 'deliver';

/** The NOTIFY channel that wakes the workers. Its payload only hastens: due work is looked up, never announced. */
export const DUE_CHANNEL = 'posthorn_due';

/** `tickets`: something is due. `lanes`: some lane may promote. A list: these endpoints' lanes may, and something may be due. */
export type DueNotice = 'tickets' | 'lanes' | { endpointIds: readonly string[] };

// PostgreSQL takes 8,000 bytes; whoever is left out is found by the loop a second later.
const ENDPOINTS_NAMED_MAX = 100;

export function dueNoticePayload(notice: DueNotice): string {
  if (notice === 'tickets') return '';
  if (notice === 'lanes') return notice;
  return notice.endpointIds.length > ENDPOINTS_NAMED_MAX ? 'lanes' : notice.endpointIds.join(',');
}

export function parseDueNotice(payload: string): DueNotice {
  if (payload === '') return 'tickets';
  return /^[0-9a-f,-]{36,}$/.test(payload) ? { endpointIds: payload.split(',') } : 'lanes';
}
