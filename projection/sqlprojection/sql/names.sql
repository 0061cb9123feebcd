SELECT DISTINCT p.name FROM {projections} p ORDER BY p.name
