UPDATE {parked} q SET request = $3::text
WHERE q.name = $1::text AND q.version = $2::bigint AND q.sequence_id = ANY ($4::text[])
