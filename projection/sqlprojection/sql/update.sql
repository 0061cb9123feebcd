-- All or none of the rows, which come sorted: locked in that order by all, so that
-- nobody waits for somebody who waits for him. What is locked cannot change any more.
-- A row that appears meanwhile is a unique violation, which undoes the statement.
WITH wanted AS (
    SELECT *
    FROM unnest($1::boolean[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
        $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::text[])
        WITH ORDINALITY AS w (remove, name, version, partition, revision, token, owner, wanted, ttl, position, last_event, handled, data, place)
), locked AS (
    SELECT p.revision
    FROM {projections} p JOIN wanted w ON p.name = w.name AND p.version = w.version AND p.partition = w.partition
    WHERE p.revision = w.revision
    ORDER BY p.name, p.version, p.partition
    FOR UPDATE OF p
), fresh AS (
    SELECT (SELECT count(*) FROM locked) = (SELECT count(*) FROM wanted w WHERE w.revision <> 0)
        AND NOT EXISTS (
            SELECT FROM {projections} p JOIN wanted w ON p.name = w.name AND p.version = w.version AND p.partition = w.partition
            WHERE w.revision = 0
        ) AS yes
), updated AS (
    UPDATE {projections} p
    SET revision = p.revision + 1, token = w.token, owner = w.owner, wanted = w.wanted, ttl = w.ttl, position = w.position,
        last_event = w.last_event, handled = w.handled, data = nullif(w.data, '')::json, updated_at = now()
    FROM wanted w
    WHERE (SELECT f.yes FROM fresh f) AND NOT w.remove
        AND p.name = w.name AND p.version = w.version AND p.partition = w.partition AND p.revision = w.revision
), removed AS (
    DELETE FROM {projections} p
    USING wanted w
    WHERE (SELECT f.yes FROM fresh f) AND w.remove
        AND p.name = w.name AND p.version = w.version AND p.partition = w.partition AND p.revision = w.revision
), inserted AS (
    INSERT INTO {projections} (name, version, partition, revision, token, owner, wanted, ttl, position, last_event, handled, data)
    SELECT w.name, w.version, w.partition, 1, w.token, w.owner, w.wanted, w.ttl, w.position, w.last_event, w.handled,
        nullif(w.data, '')::json
    FROM wanted w
    WHERE (SELECT f.yes FROM fresh f) AND w.revision = 0 AND NOT w.remove
    ORDER BY w.place
)
SELECT f.yes FROM fresh f
