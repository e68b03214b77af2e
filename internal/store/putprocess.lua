-- Writes the statistics of one process. KEYS[1]: all processes' statistics. ARGV: the process,
-- lease in ms, its statistics. Returns 1. Fields of a hash cannot expire in Redis 7.0, so each
-- begins with its end: unix ms, 16 digits.
local time = redis.call('TIME')
local ends = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%016d', ends) .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
