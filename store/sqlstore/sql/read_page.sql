-- A page of events. {where} holds the conditions that the query asks for.
SELECT e.sequence_id, e.aggregate_id, e.version, e.type, e.timestamp, e.user_id, e.data, nullif(e.metadata, '{}')
FROM {events} e
WHERE {where}
ORDER BY {order}
LIMIT $1
