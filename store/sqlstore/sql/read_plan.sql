-- Pages are read along an index, in order and from the cursor. Without this a
-- plan made while the table was small would sort the whole table for a page. The
-- server takes the settings for enormous costs, and would compile the statement.
SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
