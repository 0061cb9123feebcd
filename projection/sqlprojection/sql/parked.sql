-- {where} holds the conditions that are asked for.
SELECT q.name, q.version, q.sequence_id, q.aggregate_id, q.aggregate_version, q.type, q.state, q.request, q.error, q.tries, q.recorded_at
FROM {parked} q
WHERE q.name = $1::text AND q.version = $2::bigint AND q.sequence_id > $3::text{where}
ORDER BY q.sequence_id
LIMIT nullif($4::bigint, 0)
