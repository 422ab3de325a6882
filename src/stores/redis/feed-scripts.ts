/** The scripts of the feeds. Their keys are the hash of a session, and the list of the entries of its feed. */
import { script } from './client.js';
import { isHeld, time } from './scripts.js';

/** More than some thousands cannot be handed to a command in one go. */
const pushedAtOnce = 1_000;

/** Is anything kept of the feed `s` of this run? Its list has expired with it, or been thrown away by a full server. */
const isKept = `
local function isKept(run, isHeld, s)
  if s.run ~= run or not (isHeld or tonumber(s.expires) > now) then return false end
  return redis.call('LLEN', KEYS[2]) == s.last - s.first
end`;

const feed = `${isKept}
local s = redis.call('HMGET', KEYS[1], 'owner', 'until', 'feedRun', 'feedFirst', 'feedEnd', 'feedUntil')
local feed = { run = s[3], first = tonumber(s[4]), last = tonumber(s[5]), expires = s[6] }
local holder = s[1] and tonumber(s[2]) > now and s[1]`;

/** owner, fence, number of the first entry, how many to keep, for how many milliseconds, channel, what is told, entries → 1 when the lease is the current one. */
export const append = script(`${time}${isHeld}${feed}
if not held then return 0 end
local start = tonumber(ARGV[3])
local count = #ARGV - 7
if not (isKept(ARGV[1], holder == ARGV[1], feed) and start <= feed.last) then
  redis.call('DEL', KEYS[2])
  feed.first = start
  feed.last = start
end
for from = 8 + feed.last - start, #ARGV, ${pushedAtOnce} do
  redis.call('RPUSH', KEYS[2], unpack(ARGV, from, math.min(from + ${pushedAtOnce - 1}, #ARGV)))
end
feed.last = math.max(feed.last, start + count)
local surplus = feed.last - feed.first - ARGV[4]
if surplus >= tonumber(ARGV[4]) then
  redis.call('LTRIM', KEYS[2], surplus, -1)
  feed.first = feed.first + surplus
end
local expires = now + ARGV[5]
redis.call('HSET', KEYS[1], 'feedRun', ARGV[1], 'feedFirst', digits(feed.first), 'feedEnd', digits(feed.last),
  'feedUntil', digits(expires))
redis.call('PEXPIREAT', KEYS[2], digits(math.max(expires, tonumber(s[2]))))
if redis.call('HDEL', KEYS[1], 'watched') == 1 then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return 1`);

/** run after a mark or nothing, from, how many → the run, whether it holds the session, its first, its end, entries. */
export const read = script(`${time}${feed}
local run = ARGV[1] ~= '' and string.sub(ARGV[1], 2) or holder or feed.run
if not run then return false end
local isHeld = run == holder
if not isKept(run, isHeld, feed) then return isHeld and { run, 1 } end
local from = math.max(tonumber(ARGV[2]), feed.first)
local to = math.min(from + ARGV[3], feed.last)
local entries = from < to and redis.call('LRANGE', KEYS[2], from - feed.first, to - feed.first - 1) or {}
return { run, isHeld and 1 or 0, s[4], s[5], entries }`);

/** run, end: marks the feed as watched; 0 when there is more already or the run is over. */
export const watch = script(`${time}${feed}
if holder ~= ARGV[1] or (feed.run == ARGV[1] and feed.last > tonumber(ARGV[2])) then return 0 end
redis.call('HSET', KEYS[1], 'watched', '1')
return 1`);

/** run, reason, channel, what is told → 1 when the run holds the session. */
export const requestAbort = script(`${time}
local s = redis.call('HMGET', KEYS[1], 'owner', 'until')
if s[1] ~= ARGV[1] or tonumber(s[2]) <= now then return 0 end
redis.call('HSETNX', KEYS[1], 'abort', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1`);

/** owner, fence → the reason for which the run is asked to end, if it is. */
export const abortRequest = script(`${isHeld}
return held and redis.call('HGET', KEYS[1], 'abort')`);
