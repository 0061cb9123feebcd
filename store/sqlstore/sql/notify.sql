SELECT pg_notify('eventsource_' || to_regclass($1)::oid, '')
