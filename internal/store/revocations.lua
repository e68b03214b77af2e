-- Returns the version of what a portal has put out, or '' if it never had anything; and after it,
-- unless the caller knows that version, each entry and the unix seconds when it ends. KEYS[1]: the
-- portal's head, for the names of the keys. ARGV: the version that the caller knows or ''.
local portal = string.sub(KEYS[1], 1, -5)
local version = redis.call('GET', portal .. 'revision') or ''
if version == ARGV[1] then
	return {version}
end
local reply = redis.call('ZRANGEBYSCORE', portal .. 'revoked', '(' .. redis.call('TIME')[1], '+inf', 'WITHSCORES')
table.insert(reply, 1, version)
return reply
