-- Gives the newest id of the portal, or ''. ARGV: the newest id that the caller knows or ''; a log behind it is raised into a
-- new epoch.
local head = call('GET', KEYS[1])
if ARGV[1] == '' or head and head >= ARGV[1] then
	return head or ''
end
local epoch, sequence = position(head, ARGV[1], 0)
head = epoch .. format('%016d', sequence)
call('SET', KEYS[1], head)
return head
