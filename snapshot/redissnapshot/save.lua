-- Keeps a snapshot, unless there is one of a later event.
-- KEYS[1]: the aggregate. ARGV: field, sequence ID, version, state, time to live in ms or 0.
local at = ARGV[1] .. '/at'
local newest = redis.call('HGET', KEYS[1], at)
if newest and string.match(newest, '^[^ ]*') > ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4], at, ARGV[2] .. ' ' .. ARGV[3])
if ARGV[5] ~= '0' then
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return 1
