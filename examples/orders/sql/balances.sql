SELECT coalesce(sum(amount) FILTER (WHERE account = 'bank'), 0)::bigint,
       coalesce(sum(amount) FILTER (WHERE account = 'sales'), 0)::bigint,
       coalesce(sum(amount) FILTER (WHERE account LIKE 'wallet:%'), 0)::bigint,
       coalesce(sum(amount), 0)::bigint
FROM ledger
