-- The channel on which wake-ups for the table $1 are sent.
SELECT 'eventsource_' || to_regclass($1)::oid
