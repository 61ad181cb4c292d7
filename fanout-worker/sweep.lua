-- SPDX-License-Identifier: Apache-2.0
-- sweep.lua: deletes rows of the beacon that are left over, each only if it still is what was read: whoever
-- came back in between keeps it.
-- KEYS: ff:beacon.  ARGV: field, value, ...  Reply: how many were deleted.
local n = 0
for i = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
        n = n + redis.call('HDEL', KEYS[1], ARGV[i])
    end
end
return n
