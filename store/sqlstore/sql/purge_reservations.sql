-- Deletes up to $1 reservations that have ended. Rows that a save has locked are left
-- alone: it may be reserving the value again, and nobody waits.
WITH ended AS MATERIALIZED (
    SELECT r.scope, r.value
    FROM {reservations} r
    WHERE r.until <> 0 AND r.until <= floor(extract(epoch FROM clock_timestamp()) * 1000000000::numeric)::bigint
    ORDER BY r.until
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
DELETE FROM {reservations} r USING ended WHERE r.scope = ended.scope AND r.value = ended.value
