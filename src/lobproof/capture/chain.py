"""A symbol's depth messages by their ids: what follows, what is missing, which snapshot fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Link(Enum):
    """How a depth message stands to those before it."""

    FIRST = "first"
    """None came before."""
    FOLLOWS = "follows"
    GAP = "gap"
    """Ids between the last message and this one are missing."""
    OLD = "old"
    """All of it came before: a repeated or late message."""
    OVERLAPS = "overlaps"
    """Part of it came before: no venue sends that."""


class Fit(Enum):
    """Whether a snapshot can anchor the messages that are kept."""

    FITS = "fits"
    STALE = "stale"
    """Older than the first message kept: ids between them are missing; ask again."""
    AHEAD = "ahead"
    """Beyond the last message: it fits as soon as the messages come so far without a gap."""


@dataclass(slots=True)
class Chain:
    """The run of depth messages since the last gap, by the venue's rule.

    ``previous`` is the last id before a message: ``pu`` on futures, ``U - 1`` on spot. A snapshot
    fits where its id lies from the ``begin`` of the run, the id before its first message, to the
    ``last`` id of the run.
    """

    begin: int = -1
    last: int = -1

    def add(self, previous: int, final: int) -> Link:
        """Take a message, ids ``previous + 1`` to ``final``; a gap begins another run."""
        if self.last < 0:
            link = Link.FIRST
        elif previous == self.last:
            self.last = final
            return Link.FOLLOWS
        elif final <= self.last:
            return Link.OLD
        elif previous < self.last:
            self.last = final
            return Link.OVERLAPS
        else:
            link = Link.GAP
        self.begin, self.last = previous, final
        return link

    def judge(self, snapshot_id: int) -> Fit:
        """Whether a snapshot of that id fits the run."""
        if self.last < 0 or snapshot_id > self.last:
            return Fit.AHEAD
        return Fit.STALE if snapshot_id < self.begin else Fit.FITS


@dataclass(slots=True)
class _Held:
    previous: int
    final: int
    line: bytes
    capture_ns: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class Released:
    """A line to write, how it stands to those before it, and the last id before a gap."""

    line: bytes
    capture_ns: int
    link: Link
    previous: int
    known: int


class Sequencer:
    """Puts the messages of one stream in order where several sockets bring them.

    What does not follow on the last message waits a moment for what lies between: another socket
    may bring it. Only then it is a gap. Messages that came before are handed on at once: they are
    evidence, and late.
    """

    def __init__(self) -> None:
        self.chain = Chain()
        self._held: list[_Held] = []

    def add(
        self, previous: int, final: int, line: bytes, capture_ns: int, mono_ns: int, settle_ns: int
    ) -> list[Released]:
        """Take a message, ids ``previous + 1`` to ``final``; what can be written now, in order.

        ``settle_ns`` is how long to wait for what is missing: 0 where nobody else could bring it.
        """
        last = self.chain.last
        if last >= 0 and previous > last and settle_ns:
            self._held.append(_Held(previous, final, line, capture_ns, mono_ns))
            return []
        released = [self._release(previous, final, line, capture_ns)]
        if self._held:
            released += self._follow()
        return released

    def due(self, mono_ns: int, settle_ns: int) -> list[Released]:
        """What has waited long enough, in order; the gaps in it are gaps."""
        released: list[Released] = []
        while self._held and mono_ns - min(one.since_ns for one in self._held) >= settle_ns:
            one = min(self._held, key=lambda held: (held.previous, held.final))
            self._held.remove(one)
            released.append(self._release(one.previous, one.final, one.line, one.capture_ns))
            released += self._follow()
        return released

    def _follow(self) -> list[Released]:
        """Those that wait and follow on the last message, or came before it after all."""
        released: list[Released] = []
        while ready := [one for one in self._held if one.previous <= self.chain.last]:
            one = min(ready, key=lambda held: (held.previous, held.final))
            self._held.remove(one)
            released.append(self._release(one.previous, one.final, one.line, one.capture_ns))
        return released

    def _release(self, previous: int, final: int, line: bytes, capture_ns: int) -> Released:
        known = self.chain.last
        return Released(line, capture_ns, self.chain.add(previous, final), previous, known)
