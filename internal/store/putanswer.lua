-- Puts an answer to a question into its place, until the place expires. KEYS[1]: the place. ARGV:
-- how many answers may wait there, the answer. Returns 1, or 0 if the place does not exist any more
-- or is full.
local left, answers = redis.call('PTTL', KEYS[1]), KEYS[1] .. ':answers'
if left <= 0 or redis.call('LLEN', answers) >= tonumber(ARGV[1]) then
	return 0
end
redis.call('RPUSH', answers, ARGV[2])
redis.call('PEXPIRE', answers, left)
return 1
