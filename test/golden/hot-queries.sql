-- accept_subscribers
SELECT s.id, s.external_id, s.encrypt_payloads, y.kek_id, y.wrapped, e.id AS endpoint_id, e.event_types, e.disabled_at IS NOT NULL AS disabled, e.ordered,
  l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 OR l.queued >= l.window_size AS lane_full,
  l.queued + l.held + l.waiting AS pending
  FROM subscribers s
  LEFT JOIN data_keys y ON y.subscriber_id = s.id
  LEFT JOIN endpoints e ON e.subscriber_id = s.id AND e.deleted_at IS NULL
  LEFT JOIN lanes l ON l.endpoint_id = e.id AND l.subscriber_id = e.subscriber_id
  WHERE s.deleted_at IS NULL AND s.id = ANY (array(
  SELECT unnest($1::uuid[]) UNION ALL
  SELECT x.id FROM subscribers x WHERE x.deleted_at IS NULL AND x.external_id = ANY ($2::text[])));

-- accept_event_types
SELECT t.name, array(SELECT v.version FROM event_type_versions v WHERE v.event_type = t.name
  ORDER BY v.created_at, v.version) AS versions
  FROM event_types t WHERE t.name = ANY($1::text[]);

-- accept_insert_one
WITH locked AS (
  SELECT w.*, l.accepted,
  CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 THEN 0
  ELSE least(w.queued - w.tests - w.criticals, greatest(l.window_size - l.queued, 0)) END AS normals_in,
  CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' THEN 0
  ELSE least(w.criticals, greatest(2 * l.window_size - l.queued, 0)) END AS criticals_in,
  CASE WHEN l.paused_at IS NOT NULL THEN 0 ELSE w.tests END AS tests_in
  FROM lanes l JOIN (SELECT $1::uuid AS endpoint_id, $2::int AS queued, $3::int AS tests, $4::int AS criticals, $5::int AS held, $6::int AS all_of_it WHERE $1::uuid IS NOT NULL) w ON w.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l),
     counted AS (
  UPDATE lanes l SET queued = l.queued + k.normals_in + k.criticals_in + k.tests_in,
  held = l.held + k.held + k.queued - k.normals_in - k.criticals_in - k.tests_in,
  accepted = l.accepted + k.all_of_it
  FROM locked k WHERE l.endpoint_id = k.endpoint_id),
     room AS (SELECT coalesce(jsonb_object_agg(endpoint_id, normals_in), '{}') AS normals,
  coalesce(jsonb_object_agg(endpoint_id, criticals_in), '{}') AS criticals,
  coalesce(jsonb_object_agg(endpoint_id, tests_in), '{}') AS tests,
  coalesce(jsonb_object_agg(endpoint_id, accepted), '{}') AS accepted FROM locked),
     placed AS (
  SELECT i.*, CASE WHEN i.place = 'queued' AND i.turn > coalesce((
  (SELECT CASE WHEN i.trigger = 'test' THEN tests WHEN i.critical THEN criticals ELSE normals END FROM room) ->> i.endpoint_id::text)::int, 0)
  THEN 'held' ELSE i.place END AS taken,
  coalesce(((SELECT accepted FROM room) ->> i.endpoint_id::text)::bigint, 0) + i.nth AS seq
  FROM (SELECT $7::uuid AS id, $8::uuid AS subscriber_id, $9::uuid AS event_id, $10::uuid AS endpoint_id, $11::text AS event_type, $12::text AS trigger, $13::text AS place, $14::bool AS critical, $15::text AS ordering_key, $16::int AS turn, $17::int AS nth WHERE $7::uuid IS NOT NULL) i),
     new_events AS (
  INSERT INTO events (id, subscriber_id, type, version, data, matched, traceparent, occurred_at, priority, ordering_key, data_sealed)
  SELECT * FROM (SELECT $18::uuid AS id, $19::uuid AS subscriber_id, $20::text AS type, $21::text AS version, $22::text AS data, $23::int AS matched, $24::text AS traceparent, $25::timestamptz AS occurred_at, $26::text AS priority, $27::text AS ordering_key, $28::bytea AS data_sealed WHERE $18::uuid IS NOT NULL) e),
     new_deliveries AS (
  INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, trigger, seq, critical, ordering_key,
  status, place, due_at, set_aside, set_aside_at, cancel_reason, finished_at)
  SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.event_type, d.trigger, d.seq, d.critical, d.ordering_key,
  CASE d.taken WHEN 'cancelled' THEN 'cancelled' ELSE 'pending' END,
  nullif(d.taken, 'cancelled'),
  CASE WHEN d.taken <> 'cancelled' THEN now() END,
  -- As the table's trigger would; that is 2 of 20 µs.
  CASE WHEN d.taken = 'held' THEN 'held' END,
  CASE WHEN d.taken = 'held' THEN now() END,
  CASE WHEN d.taken = 'cancelled' THEN 'endpoint_disabled' END,
  CASE WHEN d.taken = 'cancelled' THEN now() END
  FROM placed d),
     late AS (SELECT array_agg(id) AS ids FROM placed WHERE place = 'queued' AND taken = 'held'),
     withdrawn AS (
  DELETE FROM pgboss.job j
  WHERE (SELECT ids IS NOT NULL FROM late) AND j.name = 'deliver' AND j.id = ANY ((SELECT ids FROM late)::uuid[]))
     SELECT pg_notify('posthorn_due', $29) WHERE $29::text IS NOT NULL;

-- accept_insert
WITH locked AS (
  SELECT w.*, l.accepted,
  CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 THEN 0
  ELSE least(w.queued - w.tests - w.criticals, greatest(l.window_size - l.queued, 0)) END AS normals_in,
  CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' THEN 0
  ELSE least(w.criticals, greatest(2 * l.window_size - l.queued, 0)) END AS criticals_in,
  CASE WHEN l.paused_at IS NOT NULL THEN 0 ELSE w.tests END AS tests_in
  FROM lanes l JOIN (SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[]) AS x (endpoint_id, queued, tests, criticals, held, all_of_it)) w ON w.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l),
     counted AS (
  UPDATE lanes l SET queued = l.queued + k.normals_in + k.criticals_in + k.tests_in,
  held = l.held + k.held + k.queued - k.normals_in - k.criticals_in - k.tests_in,
  accepted = l.accepted + k.all_of_it
  FROM locked k WHERE l.endpoint_id = k.endpoint_id),
     room AS (SELECT coalesce(jsonb_object_agg(endpoint_id, normals_in), '{}') AS normals,
  coalesce(jsonb_object_agg(endpoint_id, criticals_in), '{}') AS criticals,
  coalesce(jsonb_object_agg(endpoint_id, tests_in), '{}') AS tests,
  coalesce(jsonb_object_agg(endpoint_id, accepted), '{}') AS accepted FROM locked),
     placed AS (
  SELECT i.*, CASE WHEN i.place = 'queued' AND i.turn > coalesce((
  (SELECT CASE WHEN i.trigger = 'test' THEN tests WHEN i.critical THEN criticals ELSE normals END FROM room) ->> i.endpoint_id::text)::int, 0)
  THEN 'held' ELSE i.place END AS taken,
  coalesce(((SELECT accepted FROM room) ->> i.endpoint_id::text)::bigint, 0) + i.nth AS seq
  FROM (SELECT * FROM unnest($7::uuid[], $8::uuid[], $9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::bool[], $15::text[], $16::int[], $17::int[]) AS x (id, subscriber_id, event_id, endpoint_id, event_type, trigger, place, critical, ordering_key, turn, nth)) i),
     new_events AS (
  INSERT INTO events (id, subscriber_id, type, version, data, matched, traceparent, occurred_at, priority, ordering_key, data_sealed)
  SELECT * FROM (SELECT * FROM unnest($18::uuid[], $19::uuid[], $20::text[], $21::text[], $22::text[], $23::int[], $24::text[], $25::timestamptz[], $26::text[], $27::text[], $28::bytea[]) AS x (id, subscriber_id, type, version, data, matched, traceparent, occurred_at, priority, ordering_key, data_sealed)) e),
     new_deliveries AS (
  INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, trigger, seq, critical, ordering_key,
  status, place, due_at, set_aside, set_aside_at, cancel_reason, finished_at)
  SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.event_type, d.trigger, d.seq, d.critical, d.ordering_key,
  CASE d.taken WHEN 'cancelled' THEN 'cancelled' ELSE 'pending' END,
  nullif(d.taken, 'cancelled'),
  CASE WHEN d.taken <> 'cancelled' THEN now() END,
  -- As the table's trigger would; that is 2 of 20 µs.
  CASE WHEN d.taken = 'held' THEN 'held' END,
  CASE WHEN d.taken = 'held' THEN now() END,
  CASE WHEN d.taken = 'cancelled' THEN 'endpoint_disabled' END,
  CASE WHEN d.taken = 'cancelled' THEN now() END
  FROM placed d),
     late AS (SELECT array_agg(id) AS ids FROM placed WHERE place = 'queued' AND taken = 'held'),
     withdrawn AS (
  DELETE FROM pgboss.job j
  WHERE (SELECT ids IS NOT NULL FROM late) AND j.name = 'deliver' AND j.id = ANY ((SELECT ids FROM late)::uuid[]))
     SELECT pg_notify('posthorn_due', $29) WHERE $29::text IS NOT NULL;

-- ordering_enter
INSERT INTO ordering_keys AS k (endpoint_id, subscriber_id, key)
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (endpoint_id, subscriber_id, key) ORDER BY 1, 3
  ON CONFLICT (endpoint_id, key, subscriber_id) DO UPDATE SET changed_at = k.changed_at;

-- idempotency_lock
SELECT pg_try_advisory_xact_lock(hashtextextended(k, 20)) AS locked
  FROM unnest($1::text[]) WITH ORDINALITY AS c (k, at) ORDER BY at;

-- idempotency_find
SELECT i.scope, i.key, i.fingerprint, i.status_code, i.response, i.response_sealed, i.sealed_for, y.kek_id, y.wrapped
  FROM idempotency_keys i JOIN unnest($1::text[], $2::text[]) AS c (scope, key) USING (scope, key)
  LEFT JOIN data_keys y ON y.subscriber_id = i.sealed_for
  WHERE i.created_at > now() - make_interval(hours => $3);

-- idempotency_store
INSERT INTO idempotency_keys (scope, key, fingerprint, status_code, response, response_sealed, sealed_for)
  SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::smallint[], $5::text[], $6::bytea[], $7::uuid[])
  ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint,
  status_code = excluded.status_code, response = excluded.response, response_sealed = excluded.response_sealed,
  sealed_for = excluded.sealed_for, created_at = now();

-- request_windows_take
INSERT INTO request_windows AS w (name, used, ends_at)
  SELECT name, n, now() + make_interval(secs => $3) FROM unnest($1::text[], $2::int[]) AS asked (name, n)
  ORDER BY name COLLATE "C"
  ON CONFLICT (name) DO UPDATE SET
  used = CASE WHEN w.ends_at <= now() THEN excluded.used ELSE least(w.used::bigint + excluded.used, 2000000000)::int END,
  ends_at = CASE WHEN w.ends_at <= now() THEN excluded.ends_at ELSE w.ends_at END
  RETURNING name, used, extract(epoch FROM ends_at - now())::float8 AS seconds;

-- pump_deliveries
SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.status, d.trigger, d.ticket, d.tries, d.faults, d.attempts,
  d.due_at, d.critical, d.ordering_key, extract(epoch FROM now() - d.run_at)::float8 AS age_seconds, t.retry_policy, e.type, e.version, e.data, e.occurred_at, e.traceparent,
  e.data_sealed, CASE WHEN e.data_sealed IS NOT NULL THEN (SELECT y.kek_id FROM data_keys y WHERE y.subscriber_id = d.subscriber_id) END AS kek_id,
  CASE WHEN e.data_sealed IS NOT NULL THEN (SELECT y.wrapped FROM data_keys y WHERE y.subscriber_id = d.subscriber_id) END AS wrapped
  FROM deliveries d
  LEFT JOIN events e ON e.id = d.event_id AND e.subscriber_id = d.subscriber_id AND e.id >= $4::uuid AND e.id <= $5::uuid
  LEFT JOIN event_types t ON t.name = d.event_type
  WHERE d.id = ANY($1::uuid[]) AND d.id >= $2::uuid AND d.id <= $3::uuid;

-- pump_endpoints
SELECT e.id, e.url, e.headers, e.headers_sealed AS "headersSealed", e.signatures, e.signature_headers AS "signatureHeaders",
  e.auth, e.tls, e.credentials_sealed AS "credentialsSealed", e.timeout_ms AS "timeoutMs",
  CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
  WHEN e.deleted_at IS NOT NULL THEN 'endpoint_deleted'
  WHEN e.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped,
  l.paused_at IS NOT NULL AS paused, e.subscriber_id AS "subscriberId", e.retry_policy AS "retryPolicy",
  e.retry_budget_percent AS "retryBudgetPercent", e.rate_limit AS "rateLimit", l.rate_factor AS "rateFactor",
  l.rate_reduced_at AS "rateReducedAt", e.ordered_failure AS "orderedFailure",
  e.verification, e.on_failure_endpoint_id IS NOT NULL AS "tellsFailures", l.window_size AS "window", l.circuit, l.probe_id AS "probeId",
  y.kek_id AS "kekId", y.wrapped, k.ids AS "secretIds", k.kinds AS "secretKinds", k.plain AS "plainSecrets", k.sealed AS "sealedSecrets"
  FROM endpoints e
  JOIN subscribers s ON s.id = e.subscriber_id
  JOIN lanes l ON l.endpoint_id = e.id
  LEFT JOIN data_keys y ON y.subscriber_id = e.subscriber_id
  CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(k.id ORDER BY k.id DESC), '{}') AS ids, array_agg(k.kind ORDER BY k.id DESC) AS kinds, array_agg(k.secret ORDER BY k.id DESC) AS plain,
  array_agg(k.secret_sealed ORDER BY k.id DESC) AS sealed
  FROM endpoint_secrets k WHERE k.endpoint_id = e.id AND (k.expires_at IS NULL OR k.expires_at > now())) k
  WHERE e.id = ANY($1::uuid[]);

-- record_lock
SELECT count(*) FROM (
  SELECT 1 FROM deliveries WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid ORDER BY id FOR UPDATE) locked;

-- record_lock_jobs
SELECT count(*) FROM (
  SELECT 1 FROM pgboss.job WHERE name = 'deliver' AND id = ANY($1::uuid[]) ORDER BY id FOR UPDATE) locked;

-- record_outcomes_one
WITH before AS MATERIALIZED (
  SELECT i.*, d.id IS NOT NULL AS is_there, d.trigger, d.due_at, d.place AS old_place, d.attempts + 1 AS n,
  d.status <> 'pending' AS over, coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS is_claimed,
  d.status = 'pending' AND d.ticket = i.ticket AND coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS applied
  FROM (SELECT $1::uuid AS id, $2::uuid AS subscriber_id, $3::uuid AS endpoint_id, $4::int AS ticket, $5::int AS retry_count, $6::text AS status, $7::text AS place, $8::float8 AS in_seconds, $9::text AS because, $10::text AS failure, $11::text AS gave_up, $12::text AS reason, $13::bool AS burns_try, $14::uuid AS attempt_id, $15::text AS attempt_status, $16::text AS url, $17::float8 AS started_at, $18::float8 AS finished_at, $19::real AS dns_ms, $20::real AS connect_ms, $21::real AS tls_ms, $22::real AS first_byte_ms, $23::real AS total_ms, $24::smallint AS status_code, $25::text AS attempt_failure, $26::text AS failure_detail, $27::text AS note, $28::text AS remote_address, $29::text AS response_headers, $30::text AS response_body, $31::text AS response_encoding, $32::bool AS response_truncated, $33::bytea AS response_sealed WHERE $1::uuid IS NOT NULL) i
  LEFT JOIN deliveries d ON d.id = i.id AND d.subscriber_id = i.subscriber_id AND d.id >= $35::uuid AND d.id <= $36::uuid
  -- By its key and nothing else: with the state in here the planner takes the index of active jobs, one by one.
  LEFT JOIN pgboss.job j ON j.name = 'deliver' AND j.id = i.id),
     ended AS (
  -- An array: joined, and without statistics, the planner walks all jobs.
  DELETE FROM pgboss.job WHERE name = 'deliver' AND id = ANY (ARRAY(
  SELECT b.id FROM before b WHERE b.is_claimed AND (b.applied OR b.over OR NOT b.is_there)))),
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
  due_because = CASE WHEN b.applied THEN b.because ELSE d.due_because END,
  gave_up = CASE WHEN b.applied THEN b.gave_up ELSE d.gave_up END,
  -- Of what is held or waiting from now on, the table's trigger fills them in.
  set_aside = CASE WHEN NOT b.applied THEN d.set_aside END, set_aside_at = CASE WHEN NOT b.applied THEN d.set_aside_at END,
  failure = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.attempt_failure
  WHEN b.applied AND b.status = 'failed' THEN b.failure ELSE d.failure END,
  status_code = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.status_code ELSE d.status_code END,
  cancel_reason = CASE WHEN b.applied THEN b.reason ELSE d.cancel_reason END,
  finished_at = CASE WHEN b.applied AND b.status <> 'pending' THEN now() ELSE d.finished_at END,
  updated_at = now()
  FROM before b
  -- The bounds prune, and only that: by an OR no index can be read. Said plainly, and planned while tables are small, all deliveries between
  -- them were read first, and each compared with each of b.
  WHERE d.id = b.id AND d.subscriber_id = b.subscriber_id AND b.is_there
  AND ((d.id >= $35::uuid AND d.id <= $36::uuid) OR d.id = $35::uuid)
  RETURNING d.id),
     made AS (
  INSERT INTO attempts (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, late, url, scheduled_at,
  started_at, finished_at, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, status_code, failure,
  failure_detail, note, remote_address, response_headers, response_body, response_encoding,
  response_truncated, worker, response_sealed)
  SELECT b.attempt_id, b.subscriber_id, b.id, b.endpoint_id, b.n, b.trigger, b.attempt_status, NOT b.applied, b.url,
  CASE WHEN b.applied AND b.due_at IS NOT NULL THEN b.due_at ELSE to_timestamp(b.started_at / 1000) END,
  to_timestamp(b.started_at / 1000), to_timestamp(b.finished_at / 1000), b.dns_ms, b.connect_ms, b.tls_ms,
  b.first_byte_ms, b.total_ms, b.status_code, b.attempt_failure, b.failure_detail, b.note, b.remote_address,
  b.response_headers, b.response_body, b.response_encoding, coalesce(b.response_truncated, false), $34, b.response_sealed
  FROM before b WHERE b.is_there AND b.attempt_id IS NOT NULL)
     SELECT id, applied, old_place AS "oldPlace", n, (SELECT count(*) FROM moved) AS moved FROM before WHERE is_there;

-- record_outcomes
WITH before AS MATERIALIZED (
  SELECT i.*, d.id IS NOT NULL AS is_there, d.trigger, d.due_at, d.place AS old_place, d.attempts + 1 AS n,
  d.status <> 'pending' AS over, coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS is_claimed,
  d.status = 'pending' AND d.ticket = i.ticket AND coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS applied
  FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::text[], $7::text[], $8::float8[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bool[], $14::uuid[], $15::text[], $16::text[], $17::float8[], $18::float8[], $19::real[], $20::real[], $21::real[], $22::real[], $23::real[], $24::smallint[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[], $32::bool[], $33::bytea[]) AS x (id, subscriber_id, endpoint_id, ticket, retry_count, status, place, in_seconds, because, failure, gave_up, reason, burns_try, attempt_id, attempt_status, url, started_at, finished_at, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, status_code, attempt_failure, failure_detail, note, remote_address, response_headers, response_body, response_encoding, response_truncated, response_sealed)) i
  LEFT JOIN deliveries d ON d.id = i.id AND d.subscriber_id = i.subscriber_id AND d.id >= $35::uuid AND d.id <= $36::uuid
  -- By its key and nothing else: with the state in here the planner takes the index of active jobs, one by one.
  LEFT JOIN pgboss.job j ON j.name = 'deliver' AND j.id = i.id),
     ended AS (
  -- An array: joined, and without statistics, the planner walks all jobs.
  DELETE FROM pgboss.job WHERE name = 'deliver' AND id = ANY (ARRAY(
  SELECT b.id FROM before b WHERE b.is_claimed AND (b.applied OR b.over OR NOT b.is_there)))),
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
  due_because = CASE WHEN b.applied THEN b.because ELSE d.due_because END,
  gave_up = CASE WHEN b.applied THEN b.gave_up ELSE d.gave_up END,
  -- Of what is held or waiting from now on, the table's trigger fills them in.
  set_aside = CASE WHEN NOT b.applied THEN d.set_aside END, set_aside_at = CASE WHEN NOT b.applied THEN d.set_aside_at END,
  failure = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.attempt_failure
  WHEN b.applied AND b.status = 'failed' THEN b.failure ELSE d.failure END,
  status_code = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.status_code ELSE d.status_code END,
  cancel_reason = CASE WHEN b.applied THEN b.reason ELSE d.cancel_reason END,
  finished_at = CASE WHEN b.applied AND b.status <> 'pending' THEN now() ELSE d.finished_at END,
  updated_at = now()
  FROM before b
  -- The bounds prune, and only that: by an OR no index can be read. Said plainly, and planned while tables are small, all deliveries between
  -- them were read first, and each compared with each of b.
  WHERE d.id = b.id AND d.subscriber_id = b.subscriber_id AND b.is_there
  AND ((d.id >= $35::uuid AND d.id <= $36::uuid) OR d.id = $35::uuid)
  RETURNING d.id),
     made AS (
  INSERT INTO attempts (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, late, url, scheduled_at,
  started_at, finished_at, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, status_code, failure,
  failure_detail, note, remote_address, response_headers, response_body, response_encoding,
  response_truncated, worker, response_sealed)
  SELECT b.attempt_id, b.subscriber_id, b.id, b.endpoint_id, b.n, b.trigger, b.attempt_status, NOT b.applied, b.url,
  CASE WHEN b.applied AND b.due_at IS NOT NULL THEN b.due_at ELSE to_timestamp(b.started_at / 1000) END,
  to_timestamp(b.started_at / 1000), to_timestamp(b.finished_at / 1000), b.dns_ms, b.connect_ms, b.tls_ms,
  b.first_byte_ms, b.total_ms, b.status_code, b.attempt_failure, b.failure_detail, b.note, b.remote_address,
  b.response_headers, b.response_body, b.response_encoding, coalesce(b.response_truncated, false), $34, b.response_sealed
  FROM before b WHERE b.is_there AND b.attempt_id IS NOT NULL)
     SELECT id, applied, old_place AS "oldPlace", n, (SELECT count(*) FROM moved) AS moved FROM before WHERE is_there;

-- ordering_settle
WITH change AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) AS c (endpoint_id, key, delivery_id, state)),
  locked AS (
  SELECT k.endpoint_id, k.key, c.state FROM ordering_keys k
  JOIN change c ON c.endpoint_id = k.endpoint_id AND c.key = k.key AND c.delivery_id = k.delivery_id
  ORDER BY k.endpoint_id, k.key FOR UPDATE OF k)
  UPDATE ordering_keys k SET state = l.state, changed_at = now(),
  delivery_id = CASE l.state WHEN 'blocked' THEN k.delivery_id END
  FROM locked l WHERE k.endpoint_id = l.endpoint_id AND k.key = l.key;

-- record_settle_lanes_one
WITH locked AS (
  SELECT c.*, c.successes > 0 AND NOT c.troubled AND l.circuit = 'closed' AND l.warned_percent = 0 AS calm,
  -- Also after the clock was set back, as in domain's lane.ts.
  coalesce(now() >= l.sample_at + interval '60 seconds' OR now() < l.sample_at - interval '30 seconds', true) AS stale,
  coalesce(now() >= l.sample_at + interval '30 seconds' OR now() < l.sample_at - interval '30 seconds', true) AS turned
  FROM lanes l JOIN (SELECT $1::uuid AS endpoint_id, $2::int AS queued, $3::int AS held, $4::int AS waiting, $5::int AS successes, $6::bool AS troubled WHERE $1::uuid IS NOT NULL) c ON c.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l)
     UPDATE lanes l SET queued = greatest(l.queued + k.queued, 0), held = greatest(l.held + k.held, 0),
  waiting = greatest(l.waiting + k.waiting, 0),
  window_size = CASE WHEN k.calm THEN greatest(l.window_size, least(l.window_max, l.window_size + k.successes)) ELSE l.window_size END,
  consecutive_failures = CASE WHEN k.calm THEN 0 ELSE l.consecutive_failures END,
  failing_since = CASE WHEN k.calm THEN NULL ELSE l.failing_since END,
  failing_attempts = CASE WHEN k.calm THEN 0 ELSE l.failing_attempts END,
  sample_at = CASE WHEN k.calm AND k.stale THEN now() WHEN k.calm AND k.turned THEN l.sample_at + interval '30 seconds' ELSE l.sample_at END,
  previous_attempts = CASE WHEN NOT k.calm THEN l.previous_attempts WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_attempts ELSE l.previous_attempts END,
  previous_failures = CASE WHEN NOT k.calm THEN l.previous_failures WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_failures ELSE l.previous_failures END,
  previous_timeouts = CASE WHEN NOT k.calm THEN l.previous_timeouts WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_timeouts ELSE l.previous_timeouts END,
  sample_attempts = CASE WHEN NOT k.calm THEN l.sample_attempts WHEN k.turned THEN k.successes ELSE l.sample_attempts + k.successes END,
  sample_failures = CASE WHEN k.calm AND k.turned THEN 0 ELSE l.sample_failures END,
  sample_timeouts = CASE WHEN k.calm AND k.turned THEN 0 ELSE l.sample_timeouts END
  FROM locked k WHERE l.endpoint_id = k.endpoint_id
     RETURNING l.endpoint_id AS "endpointId", (k.successes > 0 OR k.troubled) AND NOT k.calm AS attentive,
  CASE WHEN l.paused_at IS NULL AND l.circuit = 'closed' AND l.queued * 2 < l.window_size THEN greatest(least(l.held, l.window_size - l.queued), 0) ELSE 0 END AS promote,
  CASE WHEN l.paused_at IS NULL AND l.circuit = 'closed' THEN greatest(least(l.held, l.window_size - l.queued), 0) ELSE 0 END AS room;

-- record_settle_lanes
WITH locked AS (
  SELECT c.*, c.successes > 0 AND NOT c.troubled AND l.circuit = 'closed' AND l.warned_percent = 0 AS calm,
  -- Also after the clock was set back, as in domain's lane.ts.
  coalesce(now() >= l.sample_at + interval '60 seconds' OR now() < l.sample_at - interval '30 seconds', true) AS stale,
  coalesce(now() >= l.sample_at + interval '30 seconds' OR now() < l.sample_at - interval '30 seconds', true) AS turned
  FROM lanes l JOIN (SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bool[]) AS x (endpoint_id, queued, held, waiting, successes, troubled)) c ON c.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l)
     UPDATE lanes l SET queued = greatest(l.queued + k.queued, 0), held = greatest(l.held + k.held, 0),
  waiting = greatest(l.waiting + k.waiting, 0),
  window_size = CASE WHEN k.calm THEN greatest(l.window_size, least(l.window_max, l.window_size + k.successes)) ELSE l.window_size END,
  consecutive_failures = CASE WHEN k.calm THEN 0 ELSE l.consecutive_failures END,
  failing_since = CASE WHEN k.calm THEN NULL ELSE l.failing_since END,
  failing_attempts = CASE WHEN k.calm THEN 0 ELSE l.failing_attempts END,
  sample_at = CASE WHEN k.calm AND k.stale THEN now() WHEN k.calm AND k.turned THEN l.sample_at + interval '30 seconds' ELSE l.sample_at END,
  previous_attempts = CASE WHEN NOT k.calm THEN l.previous_attempts WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_attempts ELSE l.previous_attempts END,
  previous_failures = CASE WHEN NOT k.calm THEN l.previous_failures WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_failures ELSE l.previous_failures END,
  previous_timeouts = CASE WHEN NOT k.calm THEN l.previous_timeouts WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_timeouts ELSE l.previous_timeouts END,
  sample_attempts = CASE WHEN NOT k.calm THEN l.sample_attempts WHEN k.turned THEN k.successes ELSE l.sample_attempts + k.successes END,
  sample_failures = CASE WHEN k.calm AND k.turned THEN 0 ELSE l.sample_failures END,
  sample_timeouts = CASE WHEN k.calm AND k.turned THEN 0 ELSE l.sample_timeouts END
  FROM locked k WHERE l.endpoint_id = k.endpoint_id
     RETURNING l.endpoint_id AS "endpointId", (k.successes > 0 OR k.troubled) AND NOT k.calm AS attentive,
  CASE WHEN l.paused_at IS NULL AND l.circuit = 'closed' AND l.queued * 2 < l.window_size THEN greatest(least(l.held, l.window_size - l.queued), 0) ELSE 0 END AS promote,
  CASE WHEN l.paused_at IS NULL AND l.circuit = 'closed' THEN greatest(least(l.held, l.window_size - l.queued), 0) ELSE 0 END AS room;

-- ordering_pick
SELECT p.endpoint_id AS "endpointId", p.subscriber_id AS "subscriberId", p.key
  FROM unnest($1::uuid[]) AS e (id) CROSS JOIN LATERAL (
  SELECT k.endpoint_id, k.subscriber_id, k.key FROM ordering_keys k
  WHERE k.endpoint_id = e.id AND k.state = 'ready'
  ORDER BY k.changed_at, k.key LIMIT $2 FOR UPDATE SKIP LOCKED) p;

-- ordering_heads
SELECT k.endpoint_id AS "endpointId", k.subscriber_id AS "subscriberId", k.key, d.id, d.place, d.trigger, d.critical
  FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (endpoint_id, subscriber_id, key)
  LEFT JOIN LATERAL (
  SELECT x.id, x.place, x.trigger, x.critical FROM deliveries x
  WHERE x.endpoint_id = k.endpoint_id AND x.ordering_key = k.key AND x.status = 'pending'
  ORDER BY x.seq, x.id LIMIT 1) d ON true;

-- ordering_occupy
UPDATE ordering_keys k SET state = 'busy', delivery_id = t.delivery_id, changed_at = now()
  FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS t (endpoint_id, key, delivery_id)
  WHERE k.endpoint_id = t.endpoint_id AND k.key = t.key;

-- ordering_leave
DELETE FROM ordering_keys k USING unnest($1::uuid[], $2::text[]) AS t (endpoint_id, key)
  WHERE k.endpoint_id = t.endpoint_id AND k.key = t.key AND k.state = 'ready';

-- record_pick_held
SELECT p.id, p.endpoint_id AS "endpointId", p.due_at AS "dueAt", p.trigger, p.critical, p.newest
  FROM unnest($1::uuid[], $2::int[]) AS r (endpoint_id, n) CROSS JOIN LATERAL (
  SELECT * FROM (SELECT d.id, d.endpoint_id, d.due_at, d.trigger, d.critical, false AS newest FROM deliveries d
  WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'held' AND d.place = 'held' AND d.critical
  ORDER BY d.set_aside_at, d.id LIMIT r.n FOR UPDATE SKIP LOCKED) critical
  UNION ALL
  SELECT * FROM (SELECT d.id, d.endpoint_id, d.due_at, d.trigger, d.critical, false AS newest FROM deliveries d
  WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'held' AND d.place = 'held' AND NOT d.critical
  ORDER BY d.set_aside_at, d.id LIMIT r.n FOR UPDATE SKIP LOCKED) oldest
  UNION ALL
  SELECT * FROM (SELECT d.id, d.endpoint_id, d.due_at, d.trigger, d.critical, true AS newest FROM deliveries d
  WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'held' AND d.place = 'held' AND NOT d.critical
  -- Asked for once: without a backlog they are not wanted, and a lock is a write.
  AND ($3::bool OR (SELECT o.set_aside_at FROM deliveries o
  WHERE o.endpoint_id = r.endpoint_id AND o.status = 'pending' AND (o.ordering_key IS NULL) AND o.set_aside = 'held' AND o.place = 'held' AND NOT o.critical
  ORDER BY o.set_aside_at, o.id LIMIT 1) < now() - interval '60 seconds')
  ORDER BY d.set_aside_at DESC, d.id DESC LIMIT (r.n + 1) / 2 FOR UPDATE SKIP LOCKED) newest) p;

-- record_lock_held
SELECT id FROM deliveries WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid AND place = 'held'
  ORDER BY id FOR UPDATE SKIP LOCKED;

-- record_give_places
UPDATE deliveries SET place = 'queued', ticket = ticket + 1, due_at = now(), due_because = NULL, updated_at = now()
  WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid;

-- record_room_to_promote
SELECT r.endpoint_id AS "endpointId", r.room, r.refill,
  pg_try_advisory_xact_lock(hashtextextended(r.endpoint_id::text, 33)) AS mine FROM (
  SELECT l.endpoint_id, greatest(least(l.held, l.window_size - l.queued), 0) AS room, l.queued * 2 < l.window_size AS refill
  FROM lanes l
  WHERE l.endpoint_id = ANY($1::uuid[])
  AND (l.held = 0 OR l.paused_at IS NULL AND l.circuit = 'closed' AND (l.queued * 2 < l.window_size OR $2 AND l.queued < l.window_size))) r;

-- lane_state_lock
SELECT l.endpoint_id, l.subscriber_id, l.window_size, l.window_max, l.circuit, l.trips, l.opened_at, l.open_until, l.closed_at,
  l.probe_id, l.consecutive_failures, l.sample_at, l.sample_attempts, l.sample_failures, l.sample_timeouts,
  l.previous_attempts, l.previous_failures, l.previous_timeouts, l.failing_since, l.failing_attempts,
  l.warned_percent, l.rate_factor, l.rate_reduced_at, l.paused_at IS NOT NULL AS paused, l.held,
  e.disable_after_seconds, e.disable_attempts_min, coalesce((e.rate_limit ->> 'adaptive')::bool, false) AS adaptive,
  now() AS now
  FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id AND e.subscriber_id = l.subscriber_id
  WHERE l.endpoint_id = ANY($1::uuid[]) ORDER BY l.endpoint_id FOR UPDATE OF l;

-- lane_state_write
UPDATE lanes l SET window_size = s.window_size, circuit = s.circuit, trips = s.trips, opened_at = s.opened_at,
  open_until = s.open_until, closed_at = s.closed_at, probe_id = s.probe_id,
  consecutive_failures = s.consecutive_failures, sample_at = s.sample_at, sample_attempts = s.sample[1],
  sample_failures = s.sample[2], sample_timeouts = s.sample[3], previous_attempts = s.sample[4],
  previous_failures = s.sample[5], previous_timeouts = s.sample[6], failing_since = s.failing_since,
  failing_attempts = s.failing_attempts, warned_percent = s.warned_percent, rate_factor = s.rate_factor,
  rate_reduced_at = s.rate_reduced_at
  FROM (SELECT i.*, ARRAY[a1, a2, a3, a4, a5, a6] AS sample
  FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
  $8::uuid[], $9::int[], $10::timestamptz[], $11::int[], $12::int[], $13::int[], $14::int[], $15::int[],
  $16::int[], $17::timestamptz[], $18::int[], $19::int[], $20::real[], $21::timestamptz[])
  AS i (endpoint_id, window_size, circuit, trips, opened_at, open_until, closed_at, probe_id, consecutive_failures,
  sample_at, a1, a2, a3, a4, a5, a6, failing_since, failing_attempts, warned_percent, rate_factor,
  rate_reduced_at)) s
  WHERE l.endpoint_id = s.endpoint_id;

-- accept_take_room
WITH wanted AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS w (endpoint_id, n)),
  locked AS (
  SELECT l.endpoint_id, w.n,
  CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 THEN 0
  ELSE least(w.n, greatest(l.window_size - l.queued, 0)) END AS granted
  FROM lanes l JOIN wanted w ON w.endpoint_id = l.endpoint_id
  ORDER BY l.endpoint_id FOR UPDATE OF l)
  UPDATE lanes l SET queued = l.queued + k.granted, held = l.held + k.n - k.granted
  FROM locked k WHERE l.endpoint_id = k.endpoint_id
  RETURNING l.endpoint_id, k.granted;

-- lane_transitions_add
INSERT INTO lane_transitions (id, subscriber_id, endpoint_id, at, kind, detail)
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::jsonb[]);
