-- Commits something, after all that is visible. Where commits wait for a synchronous
-- standby, what is visible may not be there yet: the session that committed it was
-- cancelled while it waited. This one waits for both.
SELECT pg_logical_emit_message(true, 'eventsource', '') IS NOT NULL
