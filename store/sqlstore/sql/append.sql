-- Steps 1 to 4 of an append; the migrations explain them.
SELECT a.outcome, a.stem, a.versions, a.clock_ahead
FROM {append}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) a
