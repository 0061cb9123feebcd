-- Commits something, after all that is visible, if the event is there. Where commits
-- wait for a synchronous standby, what is visible may not be there yet: the session
-- that committed it was cancelled while it waited. This one waits for both. No row if
-- the event is gone: a proxy may have gone on to another server since it was found.
SELECT pg_logical_emit_message(true, 'eventsource', '') IS NOT NULL FROM {events} e WHERE e.sequence_id = $1
