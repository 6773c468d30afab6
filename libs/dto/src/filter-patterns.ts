/** Patterns of filters, each with the sentence that follows the field's name: arguments of `@Matches`. */
type Pattern = [RegExp, { message: string }];

const id = (prefix: string): Pattern => [
  new RegExp(`^${prefix}_[0-7][0-9a-hjkmnp-tv-z]{25}$`),
  { message: `$property must be an id: ${prefix}_ and 26 letters and digits` },
];

export const ENDPOINT_ID = id('ep');

export const EVENT_TYPE_NAME: Pattern = [
  /^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/,
  { message: '$property must be segments of letters, digits, _ or - joined by dots' },
];

// The zone must be said: a local time would mean something else on every machine.
export const INSTANT: Pattern = [
  /^\d{4}-(0\d|1[0-2])-([0-2]\d|3[01])(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))?$/,
  {
    message:
      '$property must be an ISO 8601 date, or date and time with its zone, such as 2026-11-22T09:30:00Z',
  },
];

// An external id never begins with sub_, so what does is our id, or misspelt.
export const SUBSCRIBER: Pattern = [
  /^(sub_[0-7][0-9a-hjkmnp-tv-z]{25}|(?!sub_)[^]*)$/,
  { message: '$property must be an id, sub_ and 26 letters and digits, or an externalId' },
];
