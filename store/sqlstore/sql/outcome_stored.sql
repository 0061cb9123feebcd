-- Whether an event is stored. To be asked in a later statement than outcome_running.
SELECT EXISTS (SELECT FROM {events} e WHERE e.sequence_id = $1 AND e.aggregate_id = $2 AND e.version = $3)
