-- Records when users were last seen; of two times the later counts, and none is in the future.
-- KEYS[1]: the portal's times. ARGV: life of a time in seconds, then pairs of user and unix
-- seconds. Returns 1.
local now = redis.call('TIME')[1]
for i = 2, #ARGV, 2 do
	local at = math.min(tonumber(ARGV[i + 1]), tonumber(now))
	local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
	if not known or tonumber(known) < at then
		redis.call('ZADD', KEYS[1], at, ARGV[i])
	end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
