-- As read_horizon.sql and read_plan.sql, in one statement.
SELECT
    set_config('eventsource.safe_end', (SELECT h.safe_end FROM {horizon}() h), true),
    '{events}'::regclass::oid,
    pg_postmaster_start_time(),
    set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
