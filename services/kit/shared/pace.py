"""How fast all replicas together may ask one model: nothing, until its server pushes back.

The state of a pace is one hash in Redis, changed by two scripts, each atomic and with Redis's clock:

- ``ENTER`` looks a kept reply up and, if there is none, asks for permission to send. Without a limit it
  only counts, and for ``TRUST_S`` a replica need not ask again: what it sends meanwhile it tells of with its
  next word, be it to either script. Under one, whoever asks draws a ticket; a clock that runs at ``rate``
  tickets a second says whose turn it is, so replicas are served in the order in which they came, and all who
  wait are slowed when the rate falls. Who must wait comes again with the ticket.
- ``TOLD`` hears what came of an attempt. A push-back (429, or any failure with Retry-After) stops the clock
  for as long as Retry-After says and multiplies the rate by ``BETA``: the rate of what was sent in the last
  seconds if there was no limit yet. Push-backs of attempts sent before the last cut say nothing new and
  only prolong the stop. A good reply adds its part of ``STEP`` of the rate a second.

The limit is gone when for ``quiet_s`` less than half of it was used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

TAU_S: Final = 2.0
"""Over how long, about, the rate of what was sent is taken."""
BETA: Final = 0.7
STEP: Final = 0.05
FLOOR: Final = 0.1
"""Requests a second that are always allowed."""
LONGEST_HOLD_S: Final = 60.0
QUIET_S: Final = 10.0
TRUST_S: Final = 0.25
"""How long a replica that was told of no limit sends without asking again."""
IDLE_S: Final = 180
"""How long an unused state is kept; longer than any wait for a ticket."""

HIT: Final = 0
FREE: Final = 1
"""How ``ENTER``'s answer begins: with a kept reply, without a limit, and else under one."""

_STATE: Final = """
local key = KEYS[#KEYS]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local f = redis.call('HMGET', key, 'sent', 'at', 'since', 'rate', 'base', 'clock', 'tick', 'next', 'hold',
  'cut', 'busy')
for i = 1, 11 do f[i] = tonumber(f[i]) end
local at, since, rate, base = f[2] or now, f[3] or now, f[4], f[5]
local clock, tick, next = f[6] or 0, f[7] or now, f[8] or 0
local hold, cut, busy = f[9] or 0, f[10] or 0, f[11] or 0
if tick > now then -- the clock was set back: nothing may wait until it is as late again
  tick, hold, cut, busy = now, math.min(hold, now), math.min(cut, now), math.min(busy, now)
end
local sent = (f[1] or 0) * math.exp(math.min(0, at - now) / {tau}) + tonumber(ARGV[#ARGV])
if sent < 0.01 then since = now end
local speed = sent / ({tau} * (1 - math.exp(-math.max(1, now - since) / {tau})))
if rate then clock = clock + rate * math.max(0, now - math.max(tick, hold)) end
local function text(number) return string.format('%.6f', number) end
local function keep()
  redis.call('HSET', key, 'sent', text(sent), 'at', text(now), 'since', text(since), 'clock', text(clock),
    'tick', text(now), 'next', text(next), 'hold', text(hold), 'cut', text(cut), 'busy', text(busy))
  if rate then redis.call('HSET', key, 'rate', text(rate), 'base', text(base))
  elseif f[4] then redis.call('HDEL', key, 'rate', 'base') end
  redis.call('EXPIRE', key, {idle})
end
"""

ENTER: Final = (
    """
if KEYS[1] ~= '' then
  local reply = redis.call('GET', KEYS[1])
  if reply then return {0, reply} end
end
"""
    + _STATE
    + """
if rate then
  if hold > now or speed > rate / 2 then busy = now
  elseif now - busy > {quiet} then rate = nil end
end
local wait, ticket = 0, tonumber(ARGV[1])
if rate then
  if not ticket or ticket >= next then
    ticket = math.max(next, clock)
    next = ticket + 1
  end
  wait = math.max(0, hold - now) + math.max(0, ticket - clock) / rate
  if wait < 0.001 then wait = 0 end
end
if wait == 0 then sent = sent + 1 end
keep()
if not rate then return {1, text(now)} end
return {2, text(now), text(wait), text(ticket), text(rate), text(sent)}
"""
)

TOLD: Final = (
    _STATE
    + """
if ARGV[1] == 'good' then
  if not rate then return 0 end
  rate = rate + {step} * base / rate
  if rate >= 2 * base then base = rate end
else
  local fresh = tonumber(ARGV[1]) > cut
  if not rate then
    rate, clock, hold, fresh = speed, next, 0, true
  end
  hold = math.max(hold, now + math.min({longest_hold}, tonumber(ARGV[2])))
  if fresh then
    rate = math.max({floor}, {beta} * rate)
    base, cut, busy = rate, now, now
  end
end
keep()
return 1
"""
)


def script(text: str, quiet_s: float = QUIET_S) -> str:
    """One of the scripts above, with its figures filled in."""
    figures = {
        "tau": TAU_S,
        "beta": BETA,
        "step": STEP,
        "floor": FLOOR,
        "longest_hold": LONGEST_HOLD_S,
        "quiet": quiet_s,
        "idle": IDLE_S,
    }
    for name, figure in figures.items():
        text = text.replace("{" + name + "}", str(figure))
    return text


@dataclass(slots=True)
class LastKnown:
    """One replica's own pace while Redis is gone: its share of the rate that was last known.

    All times are seconds of one monotonic clock. No rate is known at first, nor once what was said of it is
    ``IDLE_S`` old.
    """

    rate: float = math.inf
    until_s: float = 0.0
    next_s: float = 0.0
    own: float = 0.0
    own_s: float = 0.0
    free: float = 0.0
    """Redis's clock when it last said that there is no limit; ``free_s``: ours."""
    free_s: float = -math.inf
    untold: int = 0
    """Attempts that Redis has not been told of."""

    def sent(self, now_s: float) -> None:
        """This replica was given leave to send."""
        self.own = self.own * math.exp((self.own_s - now_s) / TAU_S) + 1
        self.own_s = now_s

    def learn(self, rate: float, sent_by_all: float, now_s: float) -> None:
        """Redis said: ``rate`` holds, and so many were sent lately by all."""
        own = self.own * math.exp((self.own_s - now_s) / TAU_S)
        share = min(1.0, own / sent_by_all) if sent_by_all > 0 else 1.0
        self.rate, self.until_s = max(FLOOR, rate * share), now_s + IDLE_S
        self.doubt()

    def unlimited(self, redis_now: bytes, now_s: float) -> None:
        """Redis said that there is no limit, and what its clock shows."""
        self.rate = math.inf
        self.free, self.free_s = float(redis_now), now_s

    def tell(self) -> int:
        """How many attempts Redis has not been told of, which is done now."""
        untold, self.untold = self.untold, 0
        return untold

    def doubt(self) -> None:
        """There may be a limit."""
        self.free_s = -math.inf

    def free_at(self, now_s: float) -> bytes:
        """What Redis's clock shows about now, while there surely is no limit; else empty."""
        passed_s = now_s - self.free_s
        return b"%.6f" % (self.free + passed_s) if passed_s < TRUST_S else b""

    def wait_s(self, now_s: float) -> float:
        """How long to wait before sending; the place is taken."""
        if now_s > self.until_s or math.isinf(self.rate):
            return 0.0
        turn_s = max(now_s, self.next_s)
        self.next_s = turn_s + 1 / self.rate
        return turn_s - now_s

    def pushed_back(self, hold_s: float, now_s: float) -> None:
        """The server pushed back while Redis was gone."""
        self.doubt()
        self.rate = max(FLOOR, self.rate * BETA)
        self.next_s = max(self.next_s, now_s + min(hold_s, LONGEST_HOLD_S))
