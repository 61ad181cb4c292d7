-- SPDX-License-Identifier: Apache-2.0
-- append.lua: appends a batch to a region stream, only if the stream's last position is the expected one.
-- KEYS: stream, side hash
-- ARGV: expected position ("0" = absent), MAXLEN, fingerprint of the last entry, then position, field, ...
-- Reply: the last position. Error "CASFAIL <position>": nothing was written.
local last = last_position()
if last ~= ARGV[1] then
    return redis.error_reply('CASFAIL ' .. last)
end
append(ARGV[2])
return ARGV[#ARGV - 1]
