-- A page of events, under inline_lock: nobody can append any, so no horizon is needed.
SELECT e.sequence_id, e.aggregate_id, e.version, e.type, e.timestamp, e.user_id, e.data, nullif(e.metadata, '{}')
FROM {events} e
WHERE e.sequence_id > $1::text AND (cardinality($2::text[]) = 0 OR e.type = ANY ($2::text[]))
ORDER BY e.sequence_id
LIMIT $3::bigint
