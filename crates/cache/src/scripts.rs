//! The scripts that Redis runs.
//!
//! A key that is being loaded holds a lease: `RL` and a token. The load's value is stored only if the
//! lease is still there, so that a deletion by any process, at any time since the load began, keeps it
//! out; so does a fill that was sent, was given up for lost, and arrives after all. Loads of several
//! processes share a lease: none of them began before it, and the first to end stores. A key that is
//! being written by `set` holds `RW` and a token instead, which is not shared.

/// What a lease of a load begins with.
pub(crate) const LOAD_LEASE: &str = "RL";
/// What a lease of a write begins with.
pub(crate) const WRITE_LEASE: &str = "RW";

/// Takes a lease, or gives the value of a type that has come in the meantime. KEYS: name. ARGV: the header
/// of the type's envelopes, a lease and its time in milliseconds. Answers the value, the lease, or nothing
/// while somebody writes.
pub(crate) const LEASE: &str = "\
local v = redis.call('GET', KEYS[1])
if v and string.sub(v, 1, #ARGV[1]) == ARGV[1] then return v end
local kind = v and string.sub(v, 1, 2)
if kind == 'RW' then return nil end
if kind == 'RL' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return v
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ARGV[2]";

/// Puts a value in the place of a lease. KEYS: name. ARGV: lease, value, its time to live in
/// milliseconds. Answers whether the lease was still there.
pub(crate) const FILL: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// The time to live of a value in milliseconds, -1 for one without end, -2 where there is none. KEYS:
/// name.
pub(crate) const TTL: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, 1) ~= 'RQ' then return -2 end
return redis.call('PTTL', KEYS[1])";

/// Sets the time to live of a value, and what it says of it. KEYS: name. ARGV: milliseconds, where that
/// stands, what stands there. Answers whether there is one.
pub(crate) const EXPIRE: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, 1) ~= 'RQ' then return 0 end
redis.call('SETRANGE', KEYS[1], ARGV[2], ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[1])";
