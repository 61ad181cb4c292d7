-- SPDX-License-Identifier: Apache-2.0
-- index.lua: what index_add.lua and index_read.lua begin with, behind stream.lua. The last-position index is a
-- hash: channel -> its last position among all records in (since, upto]; the field with the empty name, which
-- no channel has, is "<since> <upto> <bytes>". All of it is drawn in schemas/region-stream.md.
local FIELD = 60 -- bytes of a field in a large hash, beside the channel's name

local function range()
    return string.match(redis.call('HGET', index, '') or '', '^(%d+) (%d+) (%d+)$')
end

-- Is the position a at or behind b? They are texts: a double doesn't hold 63 bits.
local function reaches(a, b)
    return #a > #b or (#a == #b and a >= b)
end

local function set_range(since, upto, bytes)
    redis.call('HSET', index, '', string.format('%s %s %.0f', since, upto, bytes))
end

-- An index of nothing: true wherever it begins.
local function begin(at)
    redis.call('UNLINK', index, index_old)
    set_range(at, at, 0)
end

-- moves: channel, position, ... from `first` on: all that the channels' last records in (upto, new] are. True
-- if the index has grown beyond the bound: it is kept beside a new one, which goes on from where it ends.
local function add(since, new, bytes, bound, moves, first)
    local names, count = 0, (#moves - first + 1) / 2
    bytes = tonumber(bytes)
    if count > 0 then
        for i = first, #moves, 2 do
            names = names + #moves[i]
        end
        bytes = bytes + redis.call('HSET', index, unpack(moves, first)) * (FIELD + names / count)
    end
    set_range(since, new, bytes)
    if bytes <= tonumber(bound) then
        return false
    end
    redis.call('UNLINK', index_old)
    redis.call('RENAME', index, index_old)
    set_range(new, new, 0)
    return true
end
