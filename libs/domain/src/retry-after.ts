/** A receiver may ask for at most a day: longer is a mistake or a way to keep its backlog with us for ever. */
export const RETRY_AFTER_MAX_SECONDS = 86_400;

/**
 * Seconds that a Retry-After header asks to wait, rounded up so that we are never early; null when it says nothing we
 * understand. Both forms of RFC 9110 section 10.2.3: delta-seconds, and HTTP-date with its two obsolete spellings. A date
 * in the past is 0. No `Date.parse`: it reads much that is not an HTTP-date, in the machine's own time zone.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  const text = value?.trim() ?? '';
  if (text === '' || text.length > LENGTH_MAX) return null;
  if (/^\d+$/.test(text)) return Math.min(Number(text), RETRY_AFTER_MAX_SECONDS);
  const atMs = httpDateMs(text, nowMs);
  if (atMs === null) return null;
  return Math.min(Math.max(0, Math.ceil((atMs - nowMs) / 1000)), RETRY_AFTER_MAX_SECONDS);
}

const LENGTH_MAX = 64;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TIME = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`;
const MONTH = `(?<month>${MONTHS.join('|')})`;
// RFC 9110 section 5.6.7. A wrong day of the week is forgiven: it changes nothing about the instant.
const FORMS = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  String.raw`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) ${MONTH} (?<year>\d{4}) ${TIME} GMT`,
  // Sunday, 06-Nov-94 08:49:37 GMT
  String.raw`(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-${MONTH}-(?<year>\d\d) ${TIME} GMT`,
  // Sun Nov  6 08:49:37 1994
  String.raw`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${MONTH} (?<day>[ \d]\d) ${TIME} (?<year>\d{4})`,
].map((form) => new RegExp(`^${form}$`));

function httpDateMs(text: string, nowMs: number): number | null {
  const found = FORMS.map((form) => form.exec(text)?.groups).find((groups) => groups !== undefined);
  if (found === undefined) return null;
  const month = MONTHS.indexOf(found.month);
  const [day, hour, minute, second] = [found.day, found.hour, found.minute, found.second].map(Number);
  // 60 is a leap second.
  if (hour > 23 || minute > 59 || second > 60) return null;
  const year = found.year.length === 2 ? fullYear(Number(found.year), nowMs) : Number(found.year);
  const midnight = new Date(0);
  midnight.setUTCFullYear(year, month, day);
  if (midnight.getUTCMonth() !== month || midnight.getUTCDate() !== day) return null; // 31 Feb, 00 Jan
  return midnight.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}

/** The nearest year that ends so. More than 50 years ahead means the century before (RFC 9110). */
function fullYear(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + twoDigits;
  if (year > thisYear + 50) return year - 100;
  return year <= thisYear - 50 ? year + 100 : year;
}
