-- SPDX-License-Identifier: Apache-2.0
-- index_add.lua: adds what moved to the last-position index, only if the index ends where its writer believes,
-- and the stream reaches as far as the index then does.
-- KEYS: stream, side hash
-- ARGV: the index's end as expected, its new end, its bound in bytes, then channel, position, ...
-- Reply: 1; 2 if a new hash was begun. Error "REFUSED <where it ends>": nothing was written.
local last = last_position()
local since, upto, bytes = range()
if upto ~= ARGV[1] or not reaches(last, ARGV[2]) then
    return redis.error_reply('REFUSED ' .. (upto or 'none'))
end
return add(since, ARGV[2], bytes, ARGV[3], ARGV, 4) and 2 or 1
