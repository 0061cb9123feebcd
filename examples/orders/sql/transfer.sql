INSERT INTO ledger (sequence_id, account, amount)
VALUES (@sequence_id, @from_account, -@amount::bigint), (@sequence_id, @to_account, @amount::bigint)
