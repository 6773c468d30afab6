-- accept_subscribers
SELECT s.id, s.external_id, e.id AS endpoint_id, e.event_types, e.disabled_at IS NOT NULL AS disabled,
  l.paused_at IS NOT NULL OR l.held > 0 OR l.queued >= l.window_size AS lane_full
  FROM subscribers s
  LEFT JOIN endpoints e ON e.subscriber_id = s.id AND e.deleted_at IS NULL
  LEFT JOIN lanes l ON l.endpoint_id = e.id AND l.subscriber_id = e.subscriber_id
  WHERE s.deleted_at IS NULL AND s.id = ANY (array(
  SELECT unnest($1::uuid[]) UNION ALL
  SELECT x.id FROM subscribers x WHERE x.deleted_at IS NULL AND x.external_id = ANY ($2::text[])));

-- accept_event_types
SELECT t.name, array(SELECT v.version FROM event_type_versions v WHERE v.event_type = t.name
  ORDER BY v.created_at, v.version) AS versions
  FROM event_types t WHERE t.name = ANY($1::text[]);

-- accept_take_room
WITH wanted AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS w (endpoint_id, n)),
  locked AS (
  SELECT l.endpoint_id, w.n,
  CASE WHEN l.paused_at IS NOT NULL OR l.held > 0 THEN 0
  ELSE least(w.n, greatest(l.window_size - l.queued, 0)) END AS granted
  FROM lanes l JOIN wanted w ON w.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l)
  UPDATE lanes l SET queued = l.queued + k.granted, held = l.held + k.n - k.granted
  FROM locked k WHERE l.endpoint_id = k.endpoint_id
  RETURNING l.endpoint_id, k.granted;

-- accept_insert
WITH input AS (
  SELECT d.*, row_number() OVER (PARTITION BY endpoint_id, place ORDER BY at) AS turn
  FROM unnest($9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[])
  WITH ORDINALITY AS d (id, subscriber_id, event_id, endpoint_id, event_type, trigger, place, at)),
  wanted AS (
  SELECT endpoint_id, count(*) FILTER (WHERE place = 'queued')::int AS queued,
  count(*) FILTER (WHERE place = 'held')::int AS held
  FROM input WHERE place <> 'cancelled' GROUP BY endpoint_id),
  locked AS (
  SELECT l.endpoint_id, w.queued, w.held,
  CASE WHEN l.paused_at IS NOT NULL OR l.held > 0 THEN 0
  ELSE least(w.queued, greatest(l.window_size - l.queued, 0)) END AS granted
  FROM lanes l JOIN wanted w ON w.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l),
  counted AS (
  UPDATE lanes l SET queued = l.queued + k.granted, held = l.held + k.held + k.queued - k.granted
  FROM locked k WHERE l.endpoint_id = k.endpoint_id),
  room AS (SELECT coalesce(jsonb_object_agg(endpoint_id, granted), '{}') AS granted FROM locked),
  placed AS (
  SELECT i.*, CASE WHEN i.place = 'queued' AND i.turn > coalesce(((SELECT granted FROM room) ->> i.endpoint_id::text)::int, 0)
  THEN 'held' ELSE i.place END AS taken
  FROM input i),
  new_events AS (
  INSERT INTO events (id, subscriber_id, type, version, data, matched, traceparent, occurred_at)
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::timestamptz[])),
  new_deliveries AS (
  INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, trigger,
  status, place, due_at, cancel_reason, finished_at)
  SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.event_type, d.trigger,
  CASE d.taken WHEN 'cancelled' THEN 'cancelled' ELSE 'pending' END,
  nullif(d.taken, 'cancelled'),
  CASE WHEN d.taken <> 'cancelled' THEN now() END,
  CASE WHEN d.taken = 'cancelled' THEN 'endpoint_disabled' END,
  CASE WHEN d.taken = 'cancelled' THEN now() END
  FROM placed d),
  withdrawn AS (
  DELETE FROM pgboss.job j USING placed p
  WHERE p.place = 'queued' AND p.taken = 'held' AND j.name = 'deliver' AND j.id = p.id)
  SELECT pg_notify($16, '') WHERE $16::text IS NOT NULL;

-- pump_deliveries
SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.status, d.trigger, d.ticket, d.tries, d.faults, d.attempts,
  d.due_at, e.type, e.version, e.data, e.occurred_at, e.traceparent
  FROM unnest($1::uuid[]) AS j (id)
  JOIN deliveries d ON d.id = j.id
  LEFT JOIN events e ON e.id = d.event_id AND e.subscriber_id = d.subscriber_id;

-- pump_endpoints
SELECT e.id, e.url, e.headers, e.timeout_ms AS "timeoutMs",
  CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
  WHEN e.deleted_at IS NOT NULL THEN 'endpoint_deleted'
  WHEN e.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped,
  l.paused_at IS NOT NULL AS paused,
  array(SELECT k.secret FROM endpoint_secrets k
  WHERE k.endpoint_id = e.id AND (k.expires_at IS NULL OR k.expires_at > now())
  ORDER BY k.id DESC) AS secrets
  FROM endpoints e
  JOIN subscribers s ON s.id = e.subscriber_id
  JOIN lanes l ON l.endpoint_id = e.id
  WHERE e.id = ANY($1::uuid[]);

-- record_outcomes
WITH input AS (
  SELECT * FROM unnest(
  $1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::text[], $7::text[], $8::float8[], $9::text[], $10::text[],
  $11::uuid[], $12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[], $16::real[], $17::real[], $18::real[],
  $19::real[], $20::real[], $21::smallint[], $22::text[], $23::text[], $24::text[], $25::text[], $26::text[],
  $27::text[], $28::text[], $29::bool[], $30::text[], $31::bool[])
  AS i (id, subscriber_id, endpoint_id, ticket, retry_count, status, place, in_seconds, failure, reason,
  attempt_id, attempt_status, url, started_at, finished_at, dns_ms, connect_ms, tls_ms,
  first_byte_ms, total_ms, status_code, attempt_failure, failure_detail, note, remote_address, response_headers,
  response_body, response_encoding, response_truncated, worker, burns_try)),
  before AS (
  SELECT i.*, d.trigger, d.due_at, d.place AS old_place, d.attempts + 1 AS n,
  d.status <> 'pending' AS over,
  d.status = 'pending' AND d.ticket = i.ticket
  AND coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS applied
  FROM input i
  JOIN deliveries d ON d.id = i.id AND d.subscriber_id = i.subscriber_id
  -- By its key and nothing else: with the state in here the planner takes the index of active jobs, one by one.
  LEFT JOIN LATERAL (
  SELECT t.state, t.retry_count FROM pgboss.job t
  WHERE t.name = 'deliver' AND t.id = i.id FOR UPDATE OF t) j ON true
  ORDER BY d.id FOR UPDATE OF d),
  moved AS (
  UPDATE deliveries d SET
  attempts = d.attempts + (b.attempt_id IS NOT NULL)::int,
  tries = d.tries + (b.applied AND b.burns_try)::int,
  faults = d.faults + (b.applied AND b.attempt_id IS NOT NULL AND NOT b.burns_try)::int,
  status = CASE WHEN b.applied THEN b.status ELSE d.status END,
  place = CASE WHEN b.applied THEN b.place ELSE d.place END,
  ticket = d.ticket + b.applied::int,
  due_at = CASE WHEN NOT b.applied THEN d.due_at
  WHEN b.status = 'pending' THEN now() + b.in_seconds * interval '1 second' END,
  trigger = CASE WHEN b.applied AND b.status = 'pending' AND b.attempt_id IS NOT NULL AND d.trigger <> 'test'
  THEN 'retry' ELSE d.trigger END,
  failure = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.attempt_failure
  WHEN b.applied AND b.status = 'failed' THEN b.failure ELSE d.failure END,
  status_code = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.status_code ELSE d.status_code END,
  cancel_reason = CASE WHEN b.applied THEN b.reason ELSE d.cancel_reason END,
  finished_at = CASE WHEN b.applied AND b.status <> 'pending' THEN now() ELSE d.finished_at END,
  updated_at = now()
  FROM before b WHERE d.id = b.id AND d.subscriber_id = b.subscriber_id),
  made AS (
  INSERT INTO attempts (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, late, url, scheduled_at,
  started_at, finished_at, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, status_code, failure,
  failure_detail, note, remote_address, response_headers, response_body, response_encoding,
  response_truncated, worker)
  SELECT b.attempt_id, b.subscriber_id, b.id, b.endpoint_id, b.n, b.trigger, b.attempt_status, NOT b.applied, b.url,
  coalesce(b.due_at, b.started_at), b.started_at, b.finished_at, b.dns_ms, b.connect_ms, b.tls_ms,
  b.first_byte_ms, b.total_ms, b.status_code, b.attempt_failure, b.failure_detail, b.note, b.remote_address,
  b.response_headers, b.response_body, b.response_encoding, b.response_truncated, b.worker
  FROM before b WHERE b.attempt_id IS NOT NULL)
  SELECT id, applied, over, old_place AS "oldPlace", n FROM before;

-- record_settle_lanes
WITH change AS (SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[]) AS c (endpoint_id, queued, held)),
  locked AS (
  SELECT l.endpoint_id, c.queued, c.held FROM lanes l JOIN change c ON c.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l)
  UPDATE lanes l SET queued = greatest(l.queued + k.queued, 0), held = greatest(l.held + k.held, 0)
  FROM locked k WHERE l.endpoint_id = k.endpoint_id
  RETURNING l.endpoint_id AS "endpointId",
  CASE WHEN l.paused_at IS NULL AND l.held > 0 AND l.queued * 2 < l.window_size
  THEN least(l.held, l.window_size - l.queued) ELSE 0 END AS promote;

-- record_promote_held
WITH room AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS r (endpoint_id, n)),
  picked AS (
  SELECT p.id, p.subscriber_id FROM room r CROSS JOIN LATERAL (
  SELECT d.id, d.subscriber_id FROM deliveries d
  WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND d.place = 'held'
  ORDER BY d.id LIMIT r.n FOR UPDATE SKIP LOCKED) p),
  up AS (
  UPDATE deliveries d SET place = 'queued', ticket = d.ticket + 1, due_at = now(), updated_at = now()
  FROM picked p WHERE d.id = p.id AND d.subscriber_id = p.subscriber_id
  RETURNING d.id, d.endpoint_id),
  lane AS (
  UPDATE lanes l SET queued = l.queued + c.n, held = greatest(l.held - c.n, 0)
  FROM (SELECT endpoint_id, count(*)::int AS n FROM up GROUP BY endpoint_id) c
  WHERE l.endpoint_id = c.endpoint_id)
  SELECT id, endpoint_id AS "endpointId" FROM up;
