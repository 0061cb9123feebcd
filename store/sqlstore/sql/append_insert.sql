-- Step 4 of an append.
INSERT INTO {events} (sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
SELECT r.sequence_id, r.aggregate_id, r.version, r.type, r.timestamp, r.user_id, r.data, r.metadata::jsonb
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bytea[], $8::text[])
    AS r (sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
