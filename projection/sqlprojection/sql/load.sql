SELECT p.name, p.version, p.partition, p.revision, p.token, p.owner, p.wanted, p.ttl, p.position, p.last_event, p.handled,
    coalesce(p.data::text, '')
FROM {projections} p
WHERE p.name = $1::text
ORDER BY p.version, p.partition
