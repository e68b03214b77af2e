-- Returns the newest id of the portal, or ''. ARGV: the newest id that the caller knows or ''.
-- Opens a new epoch if the log has lost that id, or if another server assigned the head, unless
-- nothing can be written now.
local head = call('GET', KEYS[1])
if ARGV[1] == '' then
	return head and sub(head, 1, 26) or ''
end
local function move()
	local epoch, sequence, by = position(head, ARGV[1], 0)
	local moved = epoch .. format('%016d', sequence)
	if not head or moved ~= sub(head, 1, 26) then
		call('SET', KEYS[1], moved .. by)
	end
	return moved
end
if head and covers(head, ARGV[1]) then
	local ok, moved = pcall(move)
	return ok and moved or sub(head, 1, 26)
end
return move()
