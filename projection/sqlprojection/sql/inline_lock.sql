-- Waits for open transactions that have appended events, and keeps others from it.
LOCK TABLE {events} IN SHARE MODE
