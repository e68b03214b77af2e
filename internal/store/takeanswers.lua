-- Removes and returns answers to a question, the oldest first, until they have a number of bytes.
-- KEYS[1]: the question's place. ARGV: the number.
local answers, taken, bytes = KEYS[1] .. ':answers', {}, 0
while bytes < tonumber(ARGV[1]) do
	local answer = redis.call('LPOP', answers)
	if not answer then
		break
	end
	taken[#taken + 1] = answer
	bytes = bytes + #answer
end
return taken
