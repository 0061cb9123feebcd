SELECT id, wallet_id, state, reason, lines, total, version, sequence_id, placed_at
FROM orders
ORDER BY placed_id DESC
LIMIT @limit
