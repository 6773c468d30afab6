/** What the bench publishes, and what its receivers therefore get: bodies of exactly 1 KiB on the wire. */
export const EVENT_TYPE = 'bench.created';
export const WIRE_BODY_BYTES = 1024;

// The envelope of design.md section 8, with an id and a time of the usual length.
const ENVELOPE_START = `{"id":"evt_${'0'.repeat(26)}","type":"${EVENT_TYPE}","version":"1","timestamp":"2026-01-01T00:00:00.000Z","data":`;

/** The data of the n-th event: JSON text of the same length for every n. */
export function eventData(n: number): string {
  const start = `{"number":"${String(n).padStart(9, '0')}","customer":"cus_4f1c","currency":"EUR","note":"`;
  const end = '"}';
  return (
    start +
    'lorem ipsum '
      .repeat(90)
      .slice(0, WIRE_BODY_BYTES - ENVELOPE_START.length - 1 - start.length - end.length) +
    end
  );
}

/** What Posthorn would send for it. */
export function wireBody(n: number): string {
  return `${ENVELOPE_START}${eventData(n)}}`;
}
