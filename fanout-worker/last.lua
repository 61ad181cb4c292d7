-- SPDX-License-Identifier: Apache-2.0
-- last.lua: the last position of a region stream and its fingerprint, the same test as an append's.
-- KEYS: stream, side hash.  Reply: {position ("0" = absent), fingerprint or nil}
local last = last_position()
return {last, redis.call('HGET', KEYS[2], 'fp')}
