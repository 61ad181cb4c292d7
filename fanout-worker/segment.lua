-- SPDX-License-Identifier: Apache-2.0
-- segment.lua: publishes a segment of deep history, if all of them together stay within the bound. For that the
-- oldest go before their time, but none that is younger than the grace.
-- KEYS: segment, ff:segs, ff:segs:sum
-- ARGV: value, time to live in ms, bound in bytes, value if there is no room, grace in ms
-- Reply: 1, or 0 if only the last of these values was published.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local size = #ARGV[1] + #KEYS[1] + 200
local sum = tonumber(redis.call('GET', KEYS[3]) or 0)
local room = tonumber(ARGV[3]) - size

local function drop(member)
    redis.call('ZREM', KEYS[2], member)
    sum = sum - tonumber(member:match('^%d+'))
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
    -- Its key went by itself; what is there now is a later one's.
    drop(member)
end
while sum > room do
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if not oldest[1] then
        break
    end
    local ttl, key = oldest[1]:match('^%d+ (%d+) (.*)$')
    if tonumber(oldest[2]) - tonumber(ttl) + tonumber(ARGV[5]) > now then
        break
    end
    redis.call('DEL', key)
    drop(oldest[1])
end
if redis.call('ZCARD', KEYS[2]) == 0 then
    sum = 0
end
if sum > room then
    redis.call('SET', KEYS[3], sum)
    -- Unless another worker's is there.
    redis.call('SET', KEYS[1], ARGV[4], 'PX', 1000, 'NX')
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), size .. ' ' .. ARGV[2] .. ' ' .. KEYS[1]) == 1 then
    sum = sum + size
end
redis.call('SET', KEYS[3], sum)
return 1
