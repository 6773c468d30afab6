/** Every bound of the API in one place; answers that refuse something beyond one name it. */

// An event is a fact, not a file: larger payloads belong in storage, with a link in the event.
export const EVENT_DATA_BYTES_MAX = 512 * 1024;
// The envelope around `data` in a request: subscriber, type, version, id, occurredAt, priority, orderingKey.
export const EVENT_BODY_BYTES_MAX = EVENT_DATA_BYTES_MAX + 8 * 1024;
export const BATCH_EVENTS_MAX = 1000;
// What one transaction writes in a second; a batch that fans out further is to be split by its publisher.
export const BATCH_DELIVERIES_MAX = 20_000;
export const BATCH_BODY_BYTES_MAX = 4 * 1024 * 1024;
// Every other body.
export const BODY_BYTES_MAX = 128 * 1024;
export const JSON_DEPTH_MAX = 512;
// Of a management body. Nothing there has more than a few hundred; a parser is slowest with many short names.
export const JSON_KEYS_MAX = 10_000;
// Of the events of one publish request, their data included: 200,000 names cost the event loop some 50 ms.
export const EVENT_KEYS_MAX = 50_000;
export const BATCH_KEYS_MAX = 200_000;

// What a client may take of a connection. Slow ones cost memory and a descriptor, never a worker.
export const HEADERS_SECONDS_MAX = 10;
// From its first byte to the last of its body: 4 MiB then need 1.2 Mbit/s.
export const REQUEST_SECONDS_MAX = 30;
// Longer than load balancers keep theirs (60 s): who closes first must not be us, or a request is lost on the way.
export const KEEP_ALIVE_SECONDS = 72;
// The request line and all headers.
export const HEADERS_BYTES_MAX = 16 * 1024;
export const REQUEST_HEADERS_MAX = 100;
export const REQUEST_URL_LENGTH_MAX = 8 * 1024;
// Of one process; some 30 KiB each.
export const CONNECTIONS_MAX = 10_000;

export const NAME_LENGTH_MAX = 256;
export const DESCRIPTION_LENGTH_MAX = 1024;
export const EXTERNAL_ID_LENGTH_MAX = 256;
export const EVENT_TYPE_LENGTH_MAX = 128;
export const VERSION_LENGTH_MAX = 32;
export const ORDERING_KEY_LENGTH_MAX = 128;
export const URL_LENGTH_MAX = 2048;
export const METADATA_ENTRIES_MAX = 50;
export const METADATA_NAME_LENGTH_MAX = 64;
export const METADATA_VALUE_LENGTH_MAX = 512;
export const DISABLED_REASON_LENGTH_MAX = 256;
export const EVENT_TYPE_PATTERNS_MAX = 100;
export const EVENT_TYPE_VERSIONS_MAX = 50;
export const CUSTOM_HEADERS_MAX = 20;
export const ENDPOINTS_PER_SUBSCRIBER_MAX = 500;
// Newest first; more would make the signature header longer than receivers accept.
export const LIVE_SECRETS_MAX = 5;
export const SECRET_OVERLAP_SECONDS_DEFAULT = 24 * 3600;
export const SECRET_OVERLAP_SECONDS_MAX = 7 * 24 * 3600;
export const TIMEOUT_SECONDS_MIN = 1;
export const TIMEOUT_SECONDS_MAX = 30;
export const DISABLE_AFTER_SECONDS_MIN = 60;
export const DISABLE_AFTER_SECONDS_MAX = 31 * 86_400;
// Five days: longer than any holiday week-end, so that nobody finds an endpoint disabled on Tuesday.
export const DISABLE_AFTER_SECONDS_DEFAULT = 5 * 86_400;
export const DISABLE_ATTEMPTS_MAX = 10_000;
export const DISABLE_ATTEMPTS_DEFAULT = 20;

export const PAGE_SIZE_DEFAULT = 50;
export const PAGE_SIZE_MAX = 250;
export const IDEMPOTENCY_KEY_LENGTH_MAX = 255;
export const IDEMPOTENCY_HOURS = 24;
// A publisher's own event id carries a time; further off it would land outside the partitions that exist.
export const EVENT_ID_AGE_HOURS_MAX = 24;
export const EVENT_ID_AHEAD_MINUTES_MAX = 5;
// Whoever waits behind a thousand wants to know that, and not how many more.
export const AHEAD_COUNTED_MAX = 1000;
// The longest span a replay may cover.
export const REPLAY_DAYS_MAX = 31;

// Live ones: more than any company has services, and a list that a person can still look through.
export const API_KEYS_MAX = 1000;
export const KEY_NETWORKS_MAX = 50;
export const KEY_SECONDS_MIN = 60;
export const KEY_SECONDS_MAX = 10 * 365 * 86_400;
export const KEY_OVERLAP_SECONDS_DEFAULT = 24 * 3600;
export const KEY_OVERLAP_SECONDS_MAX = 7 * 24 * 3600;
// Live ones: a portal that makes one for every visit of every user of one customer within a day.
export const ACCESS_TOKENS_PER_SUBSCRIBER_MAX = 1000;
export const TOKEN_SECONDS_DEFAULT = 3600;
export const TOKEN_SECONDS_MIN = 60;
export const TOKEN_SECONDS_MAX = 86_400;
