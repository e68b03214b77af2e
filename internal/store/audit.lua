-- Adds an entry to the audit log and drops the oldest beyond a number. KEYS[1]: the log, a list.
-- ARGV: the number, the entry. Returns 1. A list, because the user of Redis that is documented may
-- use no streams.
local length = redis.call('RPUSH', KEYS[1], ARGV[2])
for _ = 1, length - tonumber(ARGV[1]) do
	redis.call('LPOP', KEYS[1])
end
return 1
