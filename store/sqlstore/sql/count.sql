-- How many events there are. {where} holds the conditions that the query asks for.
SELECT count(*) FROM (SELECT FROM {events} e WHERE {where} LIMIT $1) counted
