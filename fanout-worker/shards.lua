-- SPDX-License-Identifier: Apache-2.0
-- shards.lua: among which servers the region's partitions are divided (common/base/stores.h). Written only if
-- the version is greater than what stands there; the table before stays beside it (w:<name>), so that who
-- comes later knows where partitions were.
-- KEYS: ff:shards.  ARGV: version (0: none of one's own), name, url, ...  Reply: the hash.
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if tonumber(ARGV[1]) > version then
    local was = redis.call('HGETALL', KEYS[1])
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'version', ARGV[1])
    for i = 1, #was, 2 do
        if was[i]:sub(1, 2) == 's:' then
            redis.call('HSET', KEYS[1], 'w' .. was[i]:sub(2), was[i + 1])
        end
    end
    for i = 2, #ARGV, 2 do
        redis.call('HSET', KEYS[1], 's:' .. ARGV[i], ARGV[i + 1])
    end
end
return redis.call('HGETALL', KEYS[1])
