-- The sequence ID of an event that was to be appended, by what is known of it. To
-- be asked in a later statement than outcome_running.
SELECT coalesce((
    SELECT e.sequence_id FROM {events} e
    WHERE e.aggregate_id = $1 AND e.sequence_id > $2 AND right(e.sequence_id, 8) = $3 AND e.timestamp = $4
), '')
