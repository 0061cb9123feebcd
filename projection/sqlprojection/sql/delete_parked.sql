DELETE FROM {parked} q WHERE q.name = $1::text AND q.version = $2::bigint
