-- A page of events of several types: a page of each, merged.
SELECT e.sequence_id, e.aggregate_id, e.version, e.type, e.timestamp, e.user_id, e.data, nullif(e.metadata, '{}')
FROM unnest($2::text[]) AS t (type)
CROSS JOIN LATERAL (
    SELECT * FROM {events} e WHERE e.type = t.type AND {where} ORDER BY {order} LIMIT $1
) e
ORDER BY {order}
LIMIT $1
