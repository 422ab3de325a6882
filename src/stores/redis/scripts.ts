/**
 * Every script of the store. A script is run as a whole or not at all, and all its keys are in one slot: those of one
 * session, or those of one tenant's listing. Only `save` takes many sessions in one go, where the server is no cluster.
 *
 * The keys of a session are, in this order:
 *
 * 1. a hash with what is known of it: `id`, `tenant`, `owner`, `fence`, `until`, `awaited`, `kept`, `born`, `listed`,
 *    `parentId`, `parentVersion`, `created`, `inputs`, `dropped` (how many versions are no longer kept), `checkpoint` (the
 *    version of the newest whole record), and of its feed `feedRun`, `feedFirst`, `feedEnd`, `feedUntil`, `watched`, `abort`
 * 2. a list of its versions without a gap, the last one is the head. Each takes two places: its number, that of its whole
 *    record, when it was written in milliseconds and the name of the save that wrote it, with spaces between; and JSON. A
 *    save adds to the list and changes nothing else, so the head is as many as were dropped and are there
 * 3. a hash of its inputs by id: attempt, a space, `1` when done, a space, JSON
 * 4. a sorted set of the ids of its pending inputs, in the order they were accepted
 * 5. a list of the entries of its feed, as JSON; it expires by itself
 *
 * Only those that need the fifth are given it, and saves after the first only the first two.
 */
import { script } from './client.js';

/** A session that is not in the listing yet is forgotten a day after its lease: its creation was never answered. */
const forgottenAfterMs = 24 * 60 * 60 * 1_000;
/** How long a session that was released is kept for those who waited: time to hear of it, even on a machine that is busy. */
const keptForThoseWhoWaitedMs = 500;

/** What is known of a version that is the first, second ... of those that are kept, or the last one (0). */
const versionAt = `
local function versionAt(versions, nth)
  local text = redis.call('LINDEX', versions, nth * 2 - 2) or ''
  local _, checkpoint, written, name = string.match(text, '^(%d+) (%d+) (%d+) (%S+)$')
  return { checkpoint = tonumber(checkpoint), written = written, name = name }
end`;

/** The time, in microseconds and in milliseconds. Numbers from 10^14 on would be written with an exponent. */
export const time = `
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
local function digits(number) return string.format('%.0f', number) end`;

/** `ARGV[1]` and `ARGV[2]` are the owner and the fence. */
export const isHeld = `
local lease = redis.call('HMGET', KEYS[1], 'owner', 'fence')
local held = lease[1] == ARGV[1] and lease[2] == ARGV[2]`;

/** Of what is not in the listing yet, no key outlives its lease by more than a day. */
const forget = `
local function forgetAfter(ms)
  if ms < 1 or redis.call('HEXISTS', KEYS[1], 'listed') == 1 then return end
  for place = 1, 4 do redis.call('PEXPIRE', KEYS[place], digits(ms)) end
end`;

/** `ARGV[...]` is the channel, then what is told there: only where somebody waits. */
const tell = (channel: number) => `
local function tell(mark, what)
  if redis.call('HDEL', KEYS[1], mark) == 1 then redis.call('PUBLISH', ARGV[${channel}], ARGV[${channel + 1}] .. what) end
end`;

/**
 * owner, milliseconds, takeover, id, tenant, since which fence it was waited for or nothing, channel, what is told → the
 * fence, and what was created but not listed; nothing while another has it.
 */
export const acquire = script(`${time}${forget}${tell(7)}
local s = redis.call('HMGET', KEYS[1],
  'owner', 'fence', 'until', 'created', 'listed', 'born', 'kept', 'watched', 'feedRun', 'feedUntil')
local isHeld = s[1] and tonumber(s[3]) > now
if ARGV[3] ~= '1' and s[1] ~= ARGV[1] then
  if isHeld then return false end
  local hasWaited = ARGV[6] ~= '' and s[2] and tonumber(s[2]) >= tonumber(ARGV[6])
  if s[7] and tonumber(s[7]) > now and not hasWaited then return false end
end
local fence = digits(math.max(micros, (tonumber(s[2]) or 0) + 1))
local lease = { 'owner', ARGV[1], 'fence', fence, 'until', digits(now + ARGV[2]) }
redis.call('HSET', KEYS[1], 'id', ARGV[4], 'tenant', ARGV[5], unpack(lease))
if s[7] then redis.call('HDEL', KEYS[1], 'kept') end
if s[1] ~= ARGV[1] then redis.call('HDEL', KEYS[1], 'abort') end
if s[8] then tell('watched', ' grown') end
-- A feed that has expired does not come back.
if s[9] and tonumber(s[10]) <= now and not (isHeld and s[9] == s[1]) then redis.call('HDEL', KEYS[1], 'feedRun') end
forgetAfter(ARGV[2] + ${forgottenAfterMs})
return { fence, s[4] and not s[5] and s[6] }`);

/** owner, fence, milliseconds → 1 when the lease is the current one. */
export const renew = script(`${time}${forget}${isHeld}
if not held then return 0 end
redis.call('HSET', KEYS[1], 'until', digits(now + ARGV[3]))
-- While its run holds the session a feed is kept.
local life = redis.call('PTTL', KEYS[5])
if life >= 0 and life < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[5], ARGV[3]) end
forgetAfter(ARGV[3] + ${forgottenAfterMs})
return 1`);

/** owner, fence, channel, what is told. What was held but never saved leaves nothing behind. */
export const release = script(`${time}${isHeld}${tell(3)}
if not held then return 0 end
local s = redis.call('HMGET', KEYS[1], 'created', 'awaited', 'feedUntil')
tell('awaited', '')
tell('watched', ' grown')
if not s[1] then
  redis.call('DEL', unpack(KEYS))
  return 1
end
redis.call('HDEL', KEYS[1], 'owner', 'abort')
if s[2] then redis.call('HSET', KEYS[1], 'kept', digits(now + ${keptForThoseWhoWaitedMs})) end
if s[3] then redis.call('PEXPIREAT', KEYS[5], s[3]) end
return 1`);

/**
 * since which fence it was waited for or nothing: marks the session as awaited → the fence that is waited for or the next
 * one; nothing when the session is free for who asks.
 */
export const awaitRelease = script(`${time}
local s = redis.call('HMGET', KEYS[1], 'owner', 'until', 'fence', 'kept')
local isHeld = s[1] and tonumber(s[2]) > now
local hasWaited = ARGV[1] ~= '' and s[3] and tonumber(s[3]) >= tonumber(ARGV[1])
if not isHeld and (hasWaited or not s[4] or tonumber(s[4]) <= now) then return false end
redis.call('HSET', KEYS[1], 'awaited', '1')
return isHeld and s[3] or digits(tonumber(s[3]) + 1)`);

/**
 * owner, fence, a name for this save, JSON, parent's id and version or nothing: the first version → as {@link save} answers
 * for one.
 */
export const create = script(`${time}${forget}${versionAt}
local s = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'created', 'listed', 'born', 'dropped')
if s[3] and versionAt(KEYS[2], 1).name == ARGV[3] then return { s[4] and 1 or { 'saved', s[5] } } end
if s[1] ~= ARGV[1] or s[2] ~= ARGV[2] then return { { 'lost' } } end
if s[3] then return { { 'conflict', digits(s[6] + redis.call('LLEN', KEYS[2]) / 2) } } end
local written = digits(now)
redis.call('HSET', KEYS[1], 'dropped', '0', 'checkpoint', '1', 'born', s[2], 'created', written)
if ARGV[5] then redis.call('HSET', KEYS[1], 'parentId', string.sub(ARGV[5], 2), 'parentVersion', ARGV[6]) end
redis.call('RPUSH', KEYS[2], '1 1 ' .. written .. ' ' .. ARGV[3], ARGV[4])
forgetAfter(redis.call('PTTL', KEYS[1]))
return { { 'saved', s[2] } }`);

/** How many arguments each save has. */
const savedWith = 7;

/**
 * For each session its first two keys, and owner, fence, expected head, is it a whole record, how many to keep or nothing, a
 * name for this save, JSON: a later version of each → for each 1, or `saved` and what is not listed yet, `lost`, or
 * `conflict` and the head. One that is refused keeps no other from being saved. A save that comes again, because a client
 * lost the connection before the answer and sent it once more, is the same save, whoever holds the session by then.
 */
export const save = script(`${versionAt}
local clock = redis.call('TIME')
-- In milliseconds, as text.
local written = string.format('%s%03d', clock[1], math.floor(clock[2] / 1000))
-- The oldest version to be kept may need older ones: everything from its checkpoint on stays.
local function drop(key, versions, dropped, oldest)
  local needed = oldest > dropped and versionAt(versions, oldest - dropped).checkpoint
  if not needed or needed <= dropped + 1 then return end
  redis.call('LTRIM', versions, (needed - dropped - 1) * 2, -1)
  redis.call('HSET', key, 'dropped', needed - 1)
end
local function save(key, versions, owner, fence, expected, isWhole, keep, name, json)
  local s = redis.call('HMGET', key, 'owner', 'fence', 'dropped', 'checkpoint', 'listed')
  local isHeld = s[1] == owner and s[2] == fence
  local dropped = tonumber(s[3])
  local version = expected + 1
  -- Looking whether it fits costs more than adding it and taking back what does not, which nobody sees.
  local isAdded = false
  if isHeld and dropped then
    local checkpoint = isWhole == '1' and version or s[4]
    local words = version .. ' ' .. checkpoint .. ' ' .. written .. ' ' .. name
    isAdded = dropped + redis.call('RPUSH', versions, words, json) / 2 == version
    if not isAdded then redis.call('RPOP', versions, 2)
    elseif isWhole == '1' then redis.call('HSET', key, 'checkpoint', version) end
    if isAdded and keep ~= '' then drop(key, versions, dropped, version - keep + 1) end
  end
  if isAdded or dropped and versionAt(versions, version - dropped).name == name then
    return s[5] and 1 or { 'saved', redis.call('HGET', key, 'born') }
  end
  if not isHeld then return { 'lost' } end
  return { 'conflict', tostring((dropped or 0) + redis.call('LLEN', versions) / 2) }
end
local answers = {}
for place = 1, #KEYS / 2 do
  local last = place * ${savedWith}
  answers[place] = save(KEYS[place * 2 - 1], KEYS[place * 2], unpack(ARGV, last - ${savedWith - 1}, last))
end
return answers`);

/** born → 1 when it is the session that was listed, which from now on is kept. */
export const markListed = script(`
if redis.call('HGET', KEYS[1], 'born') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'listed', '1')
for place = 1, 4 do redis.call('PERSIST', KEYS[place]) end
return 1`);

/** When a session was saved last, and which version that was. */
const headOf = `${versionAt}
local function headOf(dropped)
  return dropped + redis.call('LLEN', KEYS[2]) / 2, versionAt(KEYS[2], 0).written or false
end`;

/** version or nothing → its summary, and the texts of one version of it; nothing when there is none. */
export const load = script(`${headOf}
local s = redis.call('HMGET', KEYS[1], 'created', 'parentId', 'parentVersion', 'dropped', 'checkpoint')
if not s[1] then return false end
local dropped = tonumber(s[4])
local head, written = headOf(dropped)
local version = tonumber(ARGV[1]) or head
if ARGV[1] ~= '' and (version > head or version <= dropped) then return false end
local checkpoint = version == head and tonumber(s[5]) or versionAt(KEYS[2], version - dropped).checkpoint or 0
local first = (checkpoint - dropped - 1) * 2
local texts = first < 0 and {} or redis.call('LRANGE', KEYS[2], first, (version - dropped) * 2 - 1)
local pending = redis.call('ZRANGE', KEYS[4], 0, -1)
for place, id in ipairs(pending) do pending[place] = redis.call('HGET', KEYS[3], id) end
return { { tostring(head), written, s[1], s[2], s[3] }, tostring(version), tostring(checkpoint), texts, pending }`);

/** born → the summary of what was created so: head, when it was saved, when created, parent's id and version. */
export const summary = script(`${headOf}
local s = redis.call('HMGET', KEYS[1], 'born', 'created', 'parentId', 'parentVersion', 'dropped')
if s[1] ~= ARGV[1] then return false end
local head, written = headOf(tonumber(s[5]))
return { tostring(head), written, s[2], s[3], s[4] }`);

/** owner, fence, id, attempt, is it done, JSON → the record of that id; nothing when the lease is not the current one. */
export const accept = script(`${time}${forget}${isHeld}
if not held then return false end
local recorded = redis.call('HGET', KEYS[3], ARGV[3])
if recorded then
  local attempt, done, start = string.match(recorded, '^(%d+) ([01]) ()')
  attempt = tonumber(attempt)
  local next = tonumber(ARGV[4])
  if done == '1' or not (next > attempt or (ARGV[5] == '1' and next == attempt)) then return string.sub(recorded, start) end
end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
if ARGV[5] == '1' then redis.call('ZREM', KEYS[4], ARGV[3])
else redis.call('ZADD', KEYS[4], 'NX', redis.call('HINCRBY', KEYS[1], 'inputs', 1), ARGV[3]) end
forgetAfter(redis.call('PTTL', KEYS[1]))
return ARGV[6]`);

/** channel, what is told → what was created, if anything was. */
export const erase = script(`${tell(1)}
local born = redis.call('HGET', KEYS[1], 'born')
tell('awaited', '')
tell('watched', ' grown')
redis.call('DEL', unpack(KEYS))
return born`);

/** Of a listing: member. Its keys are a sorted set of what was created, by place, and the place given last. */
export const enlist = script(`
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[2]), ARGV[1])
end`);

/** Of a listing: after which place, how many → members, each followed by its place. */
export const page = script(`
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])`);
