-- SPDX-License-Identifier: Apache-2.0
-- topic.lua: what edges read first about a topic. Written only if n is not smaller than what stands there.
-- KEYS: ff:topic:<name>.  ARGV: n, log, partitions, partitioner, state, mode, namespace, key, history
-- mode "keep": an "unmapped" of the same log stays. "fresh": the writer has just started (or says unmapped).
-- n = 0 is a configured log id: it is always written.  Reply: 1 if written.
local was = redis.call('HMGET', KEYS[1], 'n', 'log', 'state', 'partitioner')
local n = tonumber(ARGV[1])
if n > 0 and was[1] and n < tonumber(was[1]) then
    return 0
end
local state = ARGV[5]
if ARGV[6] == 'keep' and was[3] == 'unmapped' and was[2] == ARGV[2] and was[4] == ARGV[4] then
    state = 'unmapped'
end
redis.call('HSET', KEYS[1], 'n', ARGV[1], 'log', ARGV[2], 'partitions', ARGV[3],
           'partitioner', ARGV[4], 'state', state, 'namespace', ARGV[7], 'key', ARGV[8],
           'history', ARGV[9])
return 1
