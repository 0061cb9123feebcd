-- The rows that a frozen process has locked are free again after this.
SELECT set_config('idle_in_transaction_session_timeout', '{idle_timeout}', true)
