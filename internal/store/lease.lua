-- Renews the lease under which a process answers questions, or ends it. KEYS[1]: all leases. ARGV:
-- the process, the lease in ms; 0 ends it. Returns 1. Beside the leases it is kept for an hour when
-- each process was last there.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local past, hour = KEYS[1] .. ':past', 3600000
redis.call('ZADD', past, string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', past, '-inf', string.format('%.0f', now - hour))
redis.call('PEXPIRE', past, hour)
if ARGV[2] == '0' then
	redis.call('HDEL', KEYS[1], ARGV[1])
	return 1
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
