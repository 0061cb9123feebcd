-- How long an append that others share may wait for another transaction.
SELECT set_config('lock_timeout', $1, true)
