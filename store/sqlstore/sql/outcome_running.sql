-- Whether the transaction that took the lock of step 1 is still running in
-- session $2. $1 and $3 are the table and the bound that it published.
SELECT EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory'
      AND l.mode = 'ShareLock'
      AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND l.classid::bigint >> 16 = to_regclass($1)::oid::bigint & 65535
      AND (l.classid::bigint & 65535) << 32 | l.objid::bigint = $3::bigint
      AND l.pid = $2
)
