"""The sliding window of one key: who was admitted in the last 60 s, and who may come now.

A log of admissions, not a counter, because only a log is exact: no 60 s, wherever
they start, hold more than `limit` admissions. Memory is bounded by the limit.
The same algorithm stands here twice: `SlidingWindow` for one process, `ADMIT` for
all processes that share a Redis. It knows no keys, no scopes and no connections.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What a window says. `wait_seconds`: admitted or not, until it next has more room."""

    is_admitted: bool
    count: int  # admissions in the window, this one included
    wait_seconds: float


class SlidingWindow:
    """Admissions of one key in this process. `now` is in monotonic seconds, never going back."""

    def __init__(self, seconds: float = WINDOW_SECONDS) -> None:
        self._seconds = seconds
        self._admitted_at: OrderedDict[str, float] = OrderedDict()

    def admit(self, entry: str, limit: int, now: float) -> Decision:
        """Count `entry` if fewer than `limit` are in the window; else change nothing."""
        self._forget(now)
        is_admitted = len(self._admitted_at) < limit
        if is_admitted:
            self._admitted_at[entry] = now
        return Decision(is_admitted, *self.count(limit, now))

    def count(self, limit: int, now: float) -> tuple[int, float]:
        """Admissions in the window, and seconds until there is more room; 0 when it is empty."""
        self._forget(now)
        count = len(self._admitted_at)
        leaver = next(islice(self._admitted_at.values(), max(0, count - limit), None), None)
        return count, 0.0 if leaver is None else leaver + self._seconds - now

    def record(self, entry: str, now: float) -> None:
        """Count an admission that was decided elsewhere."""
        self._forget(now)
        self._admitted_at[entry] = now

    def remove(self, entry: str) -> None:
        """Undo an admission; harmless when it has left the window."""
        self._admitted_at.pop(entry, None)

    def __contains__(self, entry: str) -> bool:
        return entry in self._admitted_at

    def newest(self, now: float) -> str:
        """The latest admission, or the empty string if there is none or it is about to leave.

        Clocks differ by the time that an answer takes, so another clock may see it leave earlier.
        """
        for entry, then in reversed(self._admitted_at.items()):
            return entry if now - then < 0.9 * self._seconds else ""
        return ""

    def ages(self, now: float) -> dict[str, float]:
        """Seconds since each admission that still counts, oldest first."""
        self._forget(now)
        return {entry: now - then for entry, then in self._admitted_at.items()}

    def _forget(self, now: float) -> None:
        while self._admitted_at and now - next(iter(self._admitted_at.values())) >= self._seconds:
            self._admitted_at.popitem(last=False)


# Times are integer microseconds of Redis' own clock, the one clock that all processes share;
# as scores they stay exact, being below 2**53.
CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

# Every script has KEYS[1] the log, KEYS[2] the generation, ARGV[1] the generation that the caller
# has joined. Redis that has lost its data has lost the generation with it: then a script answers
# nil and changes nothing. `shared_windows.py` says how processes join.
IF_JOINED = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return nil end
"""
IF_JOINING = """
local generation = redis.call('GET', KEYS[2])
if generation ~= ARGV[1] and generation ~= 'merging:' .. ARGV[1] then return nil end
"""

# ARGV: generation, limit, window, entry, an entry that the caller knows to be in the log or
# nothing -> {is admitted, count, wait}, or nil where the log lacks the known entry: Redis has
# evicted it, or has come back with older data.
ADMIT = """
if ARGV[5] ~= '' and not redis.call('ZSCORE', KEYS[1], ARGV[5]) then return nil end
local limit, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if newest and tonumber(newest) > now then
  -- The clock was set back: move the log with it, or a full window would not drain till then.
  for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZINCRBY', KEYS[1], now - tonumber(newest), entry)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local count = redis.call('ZCARD', KEYS[1])
local is_admitted = count < limit and 1 or 0
if is_admitted == 1 then
  redis.call('ZADD', KEYS[1], now, ARGV[4])
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
  count = count + 1
end
local leaver = math.max(0, count - limit)
local left_at = redis.call('ZRANGE', KEYS[1], leaver, leaver, 'WITHSCORES')[2] + window
return {is_admitted, count, left_at - now}
"""

# ARGV: generation, limit, window -> {count, wait}; writes nothing.
COUNT = """
local limit, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local after = string.format('(%.0f', now - window)
local count = redis.call('ZCOUNT', KEYS[1], after, '+inf')
if count == 0 then return {0, 0} end
local leaver = math.max(0, count - limit)
local left = redis.call('ZRANGEBYSCORE', KEYS[1], after, '+inf', 'WITHSCORES', 'LIMIT', leaver, 1)
return {count, math.min(left[2] + window - now, window)}
"""

# ARGV: generation, window, then entry and age for each admission that Redis may not know.
# An entry that is already there is not counted twice: its id is the same.
MERGE = """
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], now - ARGV[i + 1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
return 1
"""

# ARGV: generation, entry.
REMOVE = """
return redis.call('ZREM', KEYS[1], ARGV[2])
"""

# KEYS[1] the generation; ARGV[1] a new one -> the one there is, perhaps still 'merging:...'.
BEGIN = """
redis.call('SET', KEYS[1], 'merging:' .. ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""

# KEYS[1] the generation; ARGV[1] the one whose merging ends -> 1, or nil if it is gone.
FINISH = """
local generation = redis.call('GET', KEYS[1])
if generation == 'merging:' .. ARGV[1] then redis.call('SET', KEYS[1], ARGV[1])
elseif generation ~= ARGV[1] then return nil end
return 1
"""
