-- SPDX-License-Identifier: Apache-2.0
-- stream.lua: what append.lua, append_oom.lua, last.lua and index.lua begin with (joined when they are
-- built in). The side hash keeps the last position because XINFO copies whole entries. Both keys or none: a
-- side hash without its stream is deleted, and the index, too; a stream without its side hash gets it back
-- once, by XINFO. The index's names are made here: each append would carry them for nothing. Their tag is the
-- stream's, so they are in its slot.
local index, index_old = KEYS[1] .. ':last', KEYS[1] .. ':last:old'

local function top_fingerprint(pos)
    local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if not top or top[1] ~= '1-' .. pos then
        return false
    end
    local d, at = top[2][2], 3
    while d:byte(at) and d:byte(at) >= 128 do
        at = at + 1
    end
    local a, b, c, e = d:byte(at + 1, at + 4)
    if not e then
        return false
    end
    return string.format('%.0f', a + b * 256 + c * 65536 + e * 16777216)
end

local function restore()
    local info, pos = redis.call('XINFO', 'STREAM', KEYS[1]), '0'
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            pos = info[i + 1]:match('^1%-(%d+)$') or '0'
        end
    end
    local fp = top_fingerprint(pos)
    -- Trims nothing: a full Redis refuses a script whose first write is HSET.
    redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', redis.call('XLEN', KEYS[1]))
    redis.call('HSET', KEYS[2], 'last', pos)
    if fp then
        redis.call('HSET', KEYS[2], 'fp', fp)
    end
    return pos
end

local function last_position()
    local last = redis.call('HGET', KEYS[2], 'last')
    if redis.call('EXISTS', KEYS[1]) == 1 then
        return last or restore()
    end
    if last then
        redis.call('DEL', KEYS[2])
    end
    -- Only if there is one: a script that has written is let on by a full Redis.
    if redis.call('EXISTS', index, index_old) > 0 then
        redis.call('UNLINK', index, index_old)
    end
    return '0'
end

local function append(maxlen)
    local n = #ARGV
    for i = 4, n - 3, 2 do
        redis.call('XADD', KEYS[1], '1-' .. ARGV[i], 'd', ARGV[i + 1])
    end
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', maxlen, '1-' .. ARGV[n - 1], 'd', ARGV[n])
    redis.call('HSET', KEYS[2], 'last', ARGV[n - 1], 'fp', ARGV[3])
end
