-- The horizon, as Horizon reports it.
SELECT
    h.head,
    coalesce((SELECT e.sequence_id FROM {events} e WHERE e.sequence_id <= h.safe_end ORDER BY e.sequence_id DESC LIMIT 1), ''),
    coalesce(greatest(floor(extract(epoch FROM clock_timestamp()) * 1000::numeric)::bigint - h.held_at, 0), 0),
    coalesce(h.held_by, 0)
FROM {horizon}() h
