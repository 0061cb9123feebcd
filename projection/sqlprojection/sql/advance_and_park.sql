-- A step that parks and unparks as well, in one statement, so that it is done whole in
-- one round trip. What it parks it does not unpark: a row can be changed only once.
WITH moved AS (
    UPDATE {projections} p
    SET revision = p.revision + 1, position = greatest(p.position, $5::text), last_event = coalesce(nullif($6::text, ''), p.last_event),
        handled = p.handled + $7::bigint, updated_at = now()
    WHERE p.name = $1::text AND p.version = $2::bigint AND p.partition = $3::bigint AND p.token = $4::bigint
    RETURNING p.wanted
), unparked AS (
    DELETE FROM {parked} q
    WHERE EXISTS (SELECT FROM moved) AND q.name = $1::text AND q.version = $2::bigint
        AND q.sequence_id = ANY ($8::text[]) AND q.sequence_id <> ALL ($9::text[])
), parked AS (
    INSERT INTO {parked} AS q (name, version, sequence_id, aggregate_id, aggregate_version, type, state, request, error, tries, recorded_at)
    SELECT $1::text, $2::bigint, e.*
    FROM unnest($9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::timestamptz[]) e
    WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT (name, version, sequence_id) DO UPDATE
    SET aggregate_id = excluded.aggregate_id, aggregate_version = excluded.aggregate_version, type = excluded.type,
        state = excluded.state, request = excluded.request, error = excluded.error, tries = excluded.tries,
        recorded_at = excluded.recorded_at
)
SELECT m.wanted FROM moved m
