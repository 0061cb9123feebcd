-- As append.sql, with reservations.
SELECT a.outcome, a.stem, a.versions, coalesce(a.clock_ahead, 0), a.taken, a.holders
FROM {append_reserving}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) a
