-- Which versions of inline projections are active, as a statement sees it that begins now.
SELECT p.name, coalesce((p.data ->> 'inline')::bigint, 0)
FROM {projections} p
WHERE p.name = ANY ($1::text[]) AND p.version = 0 AND p.partition = 0
