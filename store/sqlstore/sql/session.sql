-- Which process of the server serves this connection, since when, and at which
-- isolation level a statement on its own runs.
SELECT
    pg_backend_pid(),
    (SELECT s.backend_start FROM pg_stat_activity s WHERE s.pid = pg_backend_pid()),
    current_setting('default_transaction_isolation')
