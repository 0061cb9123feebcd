-- Whether the server's process still serves the session that it served.
SELECT EXISTS (SELECT FROM pg_stat_activity s WHERE s.pid = $1 AND s.backend_start = $2)
