-- Whether the server's process still serves the session that it served. Since when
-- it does is hidden from other roles; then it may be the same session.
SELECT EXISTS (SELECT FROM pg_stat_activity s WHERE s.pid = $1 AND coalesce(s.backend_start = $2, true))
