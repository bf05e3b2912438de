//! The scripts that Redis runs.
//!
//! A key that is being loaded has a lease beside it: `RL` and a token. The load's value is stored only if
//! the lease is still there, so that a deletion by any process, at any time since the load began, keeps it
//! out; so does a fill that was sent, was given up for lost, and arrives after all. Loads of several
//! processes share a lease: none of them began before it, and the first to end stores. A key that is
//! being written by `set` has `RW` and a token instead, which is not shared. A key that was deleted has `RD`
//! for a while: the lease of a load that begins in that time is `RP` and a token, and such a load reads the
//! primary, since a replica may not know yet why the value was deleted.
//!
//! A load that wants to be the only one of all processes has `RX` instead of `RL`, and `RY` instead of `RP`. Such a
//! lease is short and renewed; those who want to be the only one as well wait, and others share it.
//!
//! Where nothing else is said, KEYS are the names of a value and of its lease.
//!
//! Where instances are told by messages, what changes a value or a generation also publishes its name behind a `=`.
//! The last of ARGV is the channel, then, and empty otherwise.

/// What a lease of a load begins with.
pub(crate) const LOAD_LEASE: &str = "RL";
/// What a lease of a write begins with.
pub(crate) const WRITE_LEASE: &str = "RW";
/// What a lease of a load begins with that wants to be the only one.
pub(crate) const ONLY_LEASE: &str = "RX";

/// Whether the load with this lease was caused by an invalidation.
pub(crate) fn is_of_primary(lease: &[u8]) -> bool {
    lease.starts_with(b"RP") || lease.starts_with(b"RY")
}

/// Whether the load with this lease is the only one.
pub(crate) fn is_only(lease: &[u8]) -> bool {
    lease.starts_with(b"RX") || lease.starts_with(b"RY")
}

/// Takes a lease, or gives the value of a type that has come in the meantime. ARGV: the header of the type's
/// envelopes, a lease, its time in milliseconds, and the mark of a value that is not wanted, which stands
/// behind the header, or nothing, and `1` if a load that is to be the only one is waited for. Answers the
/// value, the lease, nothing while somebody writes, or 0 while such a load runs.
pub(crate) const LEASE: &str = "\
local v = redis.call('GET', KEYS[1])
if v and string.sub(v, 1, #ARGV[1]) == ARGV[1]
  and string.sub(v, #ARGV[1] + 1, #ARGV[1] + 8) ~= ARGV[4] then return v end
local l = redis.call('GET', KEYS[2])
local lease = ARGV[2]
local wanted = string.sub(lease, 1, 2)
if l == 'RD' then
  lease = (wanted == 'RX' and 'RY' or 'RP') .. string.sub(lease, 3)
elseif l then
  local kind = string.sub(l, 1, 2)
  if kind == 'RW' then return nil end
  if kind == 'RX' or kind == 'RY' then
    if ARGV[5] == '1' then return 0 end
  elseif redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
  end
  return l
end
redis.call('SET', KEYS[2], lease, 'PX', ARGV[3])
return lease";

/// Deletes values and ends what loads and writes them. KEYS: any number of values, each with its lease. ARGV: for
/// how many milliseconds it is remembered, channel.
pub(crate) const DELETE: &str = "\
for i = 1, #KEYS, 2 do
  redis.call('UNLINK', KEYS[i])
  redis.call('SET', KEYS[i + 1], 'RD', 'PX', ARGV[1])
  if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], '=' .. KEYS[i]) end
end
return 1";

/// The generations of tags, and the server's time in microseconds. One that has none begins with that time, less
/// what an invalidation is remembered for, as nobody has invalidated it. KEYS: the names of tags. ARGV: for how many
/// milliseconds they are kept (one that is read when half of that is over is kept for as long again), channel, and
/// for how many microseconds an invalidation is remembered.
pub(crate) const GENERATIONS: &str = "\
local g = {}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for i, k in ipairs(KEYS) do
  g[i] = tonumber(redis.call('GET', k) or '')
  if not g[i] then
    g[i] = now - ARGV[3]
    redis.call('SET', k, string.format('%.0f', g[i]), 'PX', ARGV[1])
    if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], '=' .. k) end
  elseif redis.call('PTTL', k) < ARGV[1] / 2 then
    redis.call('PEXPIRE', k, ARGV[1])
  end
end
g[#g + 1] = now
return g";

/// Raises the generations of tags, and answers what [`GENERATIONS`] does. KEYS and ARGV as there.
pub(crate) const RAISE: &str = "\
local g = {}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for i, k in ipairs(KEYS) do
  g[i] = math.max(now, (tonumber(redis.call('GET', k) or '') or 0) + 1)
  redis.call('SET', k, string.format('%.0f', g[i]), 'PX', ARGV[1])
  if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], '=' .. k) end
end
g[#g + 1] = now
return g";

/// Takes a lease in the place of whatever is there. ARGV: lease, its time in milliseconds, channel.
pub(crate) const TAKE: &str = "\
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('UNLINK', KEYS[1])
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], '=' .. KEYS[1]) end
return 1";

/// Puts a value in the place of a lease. ARGV: lease, value, its time to live in milliseconds, channel. Answers
/// whether the lease was still there.
pub(crate) const FILL: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('UNLINK', KEYS[2])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], '=' .. KEYS[1]) end
return 1";

/// The time to live of a value in milliseconds, -1 for one without end, -2 where there is none, and its start, to
/// ARGV.
pub(crate) const TTL: &str = "\
return {redis.call('PTTL', KEYS[1]), redis.call('GETRANGE', KEYS[1], 0, ARGV[1])}";

/// Takes a value away, if the lease is still there, and the lease. ARGV: lease, for how many milliseconds an
/// invalidation is remembered, channel.
pub(crate) const DROP: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1], KEYS[2])
local kind = string.sub(ARGV[1], 1, 2)
if kind == 'RP' or kind == 'RY' then redis.call('SET', KEYS[2], 'RD', 'PX', ARGV[2]) end
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], '=' .. KEYS[1]) end
return 1";

/// Keeps a lease, if it is still there. ARGV: lease, its time in milliseconds.
pub(crate) const RENEW: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])";

/// Takes a lease away, if it is still there. ARGV: lease, for how many milliseconds an invalidation is remembered.
pub(crate) const RELEASE: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[2])
if string.sub(ARGV[1], 1, 2) == 'RY' then redis.call('SET', KEYS[2], 'RD', 'PX', ARGV[2]) end
return 1";

/// Sets the time to live of a fresh value, and what it says of it. ARGV: milliseconds, where that stands, what
/// stands there, what a value of this version begins with, and channel. Answers whether there is one.
pub(crate) const EXPIRE: &str = "\
local at = tonumber(ARGV[2])
local v = redis.call('GETRANGE', KEYS[1], 0, at + 23)
if #v < at + 24 or string.sub(v, 1, #ARGV[4]) ~= ARGV[4] then return 0 end
local fresh, kept = struct.unpack('<I8I8', string.sub(v, at + 9, at + 24))
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= kept - fresh then return 0 end
redis.call('SETRANGE', KEYS[1], ARGV[2], ARGV[3])
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[5], '=' .. KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])";
