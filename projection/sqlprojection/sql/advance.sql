-- A step of the owner whose token is $4. No row if the lease is another's.
UPDATE {projections} p
SET revision = p.revision + 1, position = greatest(p.position, $5::text), last_event = coalesce(nullif($6::text, ''), p.last_event),
    handled = p.handled + $7::bigint, updated_at = now()
WHERE p.name = $1::text AND p.version = $2::bigint AND p.partition = $3::bigint AND p.token = $4::bigint
RETURNING p.wanted
