-- How far this transaction may read. A later statement reads no further.
SELECT set_config('eventsource.safe_end', (SELECT h.safe_end FROM {horizon}() h), true)
