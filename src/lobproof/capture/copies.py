"""Sockets side by side: which arrival of a message is first; what each socket lost or delayed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum

REMEMBERED = 1 << 13
"""Messages of a stream that are remembered: a copy that comes later counts as another message."""
ON_ITS_WAY_NS = 2_000_000_000
"""A message that another socket brought so shortly before may still have come on a closed one."""
DELAY_BUCKETS = 40
"""Delays are counted by powers of two of ns: the last bucket holds 550 s and more."""


class Arrival(Enum):
    """What an arrival of a message is."""

    FIRST = "first"
    COPY = "copy"
    """Byte for byte what came before."""
    DIFFERS = "differs"
    """The id came before with other bytes: both are evidence."""


@dataclass(slots=True)
class Lane:
    """A socket's figures. A lane goes on through its reconnects.

    ``first``: messages that it brought first; ``copies``: those that another had brought;
    ``missed``: those that came while it was open, and never on it; ``differing``: those that it
    brought with other bytes; ``delays``: copies by their delay, powers of two of ns.
    """

    first: int = 0
    copies: int = 0
    missed: int = 0
    differing: int = 0
    delays: list[int] = field(default_factory=lambda: [0] * DELAY_BUCKETS)

    def delay_ns(self, share: float) -> int:
        """A bound that this share of the copies' delays is below; 0 without copies."""
        wanted = share * sum(self.delays)
        seen = 0
        for power, count in enumerate(self.delays):
            seen += count
            if count and seen >= wanted:
                return 1 << power
        return 0


@dataclass(slots=True)
class _Seen:
    digest: int
    lanes: int  # a bit for each lane that brought it
    open: int  # and for each that was open as it came first
    mono_ns: int


class Copies:
    """Tells first arrivals from copies, by stream and id, and keeps account of each lane.

    Parameters
    ----------
    lanes
        Sockets side by side.
    remembered
        Messages of each stream to remember.
    """

    def __init__(self, lanes: int, *, remembered: int = REMEMBERED) -> None:
        self.lanes = [Lane() for _ in range(lanes)]
        self._open = 0
        self._remembered = remembered
        self._streams: dict[bytes, OrderedDict[int, _Seen]] = {}  # a dict's first is slow to find

    def opened(self, lane: int) -> None:
        """A lane's socket is open: from now on what does not come on it is missed."""
        self._open |= 1 << lane

    def closed(self, lane: int, mono_ns: int) -> None:
        """A lane's socket is closed. What was on its way to it is not held against it."""
        bit = 1 << lane
        self._open &= ~bit
        for seen in self._streams.values():
            for one in seen.values():
                if one.open & ~one.lanes & bit and mono_ns - one.mono_ns > ON_ITS_WAY_NS:
                    self.lanes[lane].missed += 1
                one.open &= ~bit

    def take(self, lane: int, stream: bytes, ident: int, payload: bytes, mono_ns: int) -> Arrival:
        """Take an arrival of the message ``ident`` of ``stream``, at a monotonic time in ns."""
        seen = self._streams.get(stream)
        if seen is None:
            seen = self._streams[stream] = OrderedDict()
        bit = 1 << lane
        known = seen.get(ident)
        if known is None:
            self.lanes[lane].first += 1
            seen[ident] = _Seen(hash(payload), bit, self._open | bit, mono_ns)
            if len(seen) > self._remembered:
                self._settle(seen.popitem(last=False)[1])
            return Arrival.FIRST
        known.lanes |= bit
        if known.digest != hash(payload):
            self.lanes[lane].differing += 1
            known.digest, known.mono_ns = hash(payload), mono_ns  # after a reset: copies follow
            return Arrival.DIFFERS
        self.lanes[lane].copies += 1
        delay = max(mono_ns - known.mono_ns, 0)
        self.lanes[lane].delays[min(delay.bit_length(), DELAY_BUCKETS - 1)] += 1
        return Arrival.COPY

    def settle(self) -> None:
        """Count what is still remembered, at a session's end."""
        for seen in self._streams.values():
            for one in seen.values():
                self._settle(one)
            seen.clear()

    def _settle(self, one: _Seen) -> None:
        missed = one.open & ~one.lanes
        lane = 0
        while missed:
            self.lanes[lane].missed += missed & 1
            missed >>= 1
            lane += 1
