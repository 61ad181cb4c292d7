-- SPDX-License-Identifier: Apache-2.0
-- index_read.lua: brings the last-position index towards a position from which on its writer knows what moved
-- itself: what lies between is read from the stream, some entries a call. Where that can't be (there is no
-- index, the stream no longer follows its end, or too much lies between) a new one begins at that position.
-- KEYS: stream, side hash
-- ARGV: the position, the bound in bytes, entries of a call, positions that are too much
-- Reply: {where the index ends ("0" = there is no stream), 0 as it was | 1 read | 2 begun}
local last = last_position()
if last == '0' then
    return {last, 0}
end

local function varint(d, at)
    local value, unit = 0, 1
    for i = at, at + 9 do
        local b = d:byte(i)
        if not b then
            break
        end
        value = value + b % 128 * unit
        if b < 128 then
            return value, i + 1
        end
        unit = unit * 128
    end
end

-- The position of an entry, the one it continues from, its channel; nil: it can't be read. Beyond 15 digits a
-- double might not hold them; no log gets there.
local function parse(id, d)
    local pos = id:match('^1%-(%d+)$')
    if not pos or #pos > 15 or d:byte(1) ~= 1 then
        return nil
    end
    local distance, fp = varint(d, 3)
    local _, at = varint(d, (fp or #d) + 4)
    local n, first = varint(d, at or #d + 1)
    if not n or n < 1 or #d < first + n - 1 then
        return nil
    end
    return pos, tonumber(pos) - distance, d:sub(first, first + n - 1)
end

-- Channel, position, ... of what follows `upto`, and where it ends; nil if it doesn't follow.
local function read(upto)
    local moves, chain = {}, tonumber(upto)
    for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(1-' .. upto, '+', 'COUNT', ARGV[3])) do
        local pos, prev, channel = parse(entry[1], entry[2][2])
        if not pos or prev > chain then
            return nil
        end
        moves[#moves + 1], moves[#moves + 2] = channel, pos
        chain, upto = tonumber(pos), pos
    end
    return moves, upto
end

local since, upto, bytes
if redis.call('TYPE', index).ok == 'hash' then
    since, upto, bytes = range()
end
if upto and reaches(upto, ARGV[1]) then
    return {upto, 0}
end
if upto and #ARGV[1] <= 15 and tonumber(ARGV[1]) - tonumber(upto) <= tonumber(ARGV[4]) then
    local moves, new = read(upto)
    if moves and #moves > 0 then
        add(since, new, bytes, ARGV[2], moves, 1)
        return {new, 1}
    elseif moves then
        return {upto, 0}
    end
end
begin(ARGV[1])
return {ARGV[1], 2}
