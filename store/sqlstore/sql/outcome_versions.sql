-- The versions of events, given their sequence IDs, in the same order.
SELECT ARRAY(
    SELECT e.version FROM unnest($1::text[]) WITH ORDINALITY AS i (id, place) JOIN {events} e ON e.sequence_id = i.id
    ORDER BY i.place
)
