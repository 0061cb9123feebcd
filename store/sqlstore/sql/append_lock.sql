-- Step 1 of an append: publish $2, in Unix milliseconds, as the lower bound of
-- the time in all sequence IDs that this transaction may still use. $1 is the
-- quoted name of the table. The lock ends with the transaction.
SELECT pg_advisory_xact_lock_shared((to_regclass($1)::oid::bigint & 65535) << 48 | $2::bigint)
