-- SPDX-License-Identifier: Apache-2.0
-- append_oom.lua: append.lua for a full Redis. Redis refuses a script whose first write is XADD but lets
-- one go on that has written already: so this one first trims the stream by a tenth.
-- Reply: the length that was left before appending. Error "CASFAIL <position>".
local last = last_position()
if last ~= ARGV[1] then
    return redis.error_reply('CASFAIL ' .. last)
end
local keep = math.floor(redis.call('XLEN', KEYS[1]) * 0.9)
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', keep)
append(ARGV[2])
return keep
