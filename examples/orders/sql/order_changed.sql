UPDATE orders SET state = @state, reason = @reason, version = @version, sequence_id = @sequence_id WHERE id = @id
