-- Who holds a value, by the server's clock.
SELECT r.aggregate_id, r.sequence_id, r.version, r.until
FROM {reservations} r
WHERE r.scope = $1 AND r.value = $2
  AND (r.until = 0 OR r.until > floor(extract(epoch FROM clock_timestamp()) * 1000000000::numeric)::bigint)
