-- A snapshot of a later event stays.
INSERT INTO {snapshots} AS s (aggregate_id, type, schema_version, version, sequence_id, state)
VALUES ($1::text, $2::text, $3::bigint, $4::bigint, $5::text, $6::bytea)
ON CONFLICT (aggregate_id, type, schema_version) DO UPDATE
SET version = excluded.version, sequence_id = excluded.sequence_id, state = excluded.state, taken_at = excluded.taken_at
WHERE s.sequence_id <= excluded.sequence_id
