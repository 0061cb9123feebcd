-- Step 2 of an append, in a later statement than step 1: the head, the current
-- versions of the aggregates $1, and what has to be known of the server.
SELECT
    coalesce((SELECT e.sequence_id FROM {events} e ORDER BY e.sequence_id DESC LIMIT 1), ''),
    ARRAY(
        SELECT coalesce((
            SELECT e.version FROM {events} e WHERE e.aggregate_id = a.id ORDER BY e.version DESC LIMIT 1
        ), 0)
        FROM unnest($1::text[]) WITH ORDINALITY AS a (id, place)
        ORDER BY a.place
    ),
    floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    pg_backend_pid(),
    current_setting('transaction_isolation'),
    pg_is_in_recovery()
