DELETE FROM {snapshots} s WHERE s.aggregate_id = $1::text
