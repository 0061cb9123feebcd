-- How far this transaction may read, and of which table on which server that is
-- said. A later statement reads no further.
SELECT
    set_config('eventsource.safe_end', (SELECT h.safe_end FROM {horizon}() h), true),
    '{events}'::regclass::oid,
    pg_postmaster_start_time()
