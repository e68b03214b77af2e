-- Writes something after a message, so that a WAIT on this connection also waits for the message.
-- KEYS[1]: the portal's head, for the names of the keys. ARGV: the id. Returns 1, or 0 if the
-- message is not here (any more).
local portal = string.sub(KEYS[1], 1, -5)
if redis.call('EXISTS', portal .. 'm:' .. ARGV[1]) == 0 then
	return 0
end
redis.call('SET', portal .. 'wait', '', 'PX', 1000)
return 1
