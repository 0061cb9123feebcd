SELECT coalesce((SELECT e.sequence_id FROM {events} e ORDER BY e.sequence_id DESC LIMIT 1), '')
