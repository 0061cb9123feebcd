SELECT s.version, s.sequence_id, s.state
FROM {snapshots} s
WHERE s.aggregate_id = $1::text AND s.type = $2::text AND s.schema_version = $3::bigint
