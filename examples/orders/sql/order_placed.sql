INSERT INTO orders (id, wallet_id, state, lines, total, version, placed_id, sequence_id, placed_at)
VALUES (@id, @wallet_id, 'placed', @lines, @total, @version, @sequence_id, @sequence_id, @placed_at)
