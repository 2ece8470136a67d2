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
    RESET = "reset"
    """Its ids went back while the exchange's time went on: the venue begins them anew."""


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
    ``last`` id of the run. ``last_event`` is the exchange's time of the message of that id.
    """

    begin: int = -1
    last: int = -1
    last_event: int = 0

    def add(self, previous: int, final: int, event: int = 0) -> Link:
        """Take a message, ids ``previous + 1`` to ``final``; a gap or a reset begins another run.

        ``event`` is the exchange's time, in any one unit, where ids that go back while it goes on
        are a reset, as an import judges; 0 where they never are.
        """
        link = self.link(previous, final, event)
        if link is Link.OLD:
            return link
        if link in (Link.FIRST, Link.GAP, Link.RESET):
            self.begin = previous
        self.last, self.last_event = final, event
        return link

    def link(self, previous: int, final: int, event: int = 0) -> Link:
        """How a message would stand to those before it."""
        if self.last < 0:
            return Link.FIRST
        if previous == self.last:
            return Link.FOLLOWS
        if final < self.last and event > self.last_event > 0:
            return Link.RESET
        if final <= self.last:
            return Link.OLD
        return Link.OVERLAPS if previous < self.last else Link.GAP

    def judge(self, snapshot_id: int) -> Fit:
        """Whether a snapshot of that id fits the run."""
        if self.last < 0 or snapshot_id > self.last:
            return Fit.AHEAD
        return Fit.STALE if snapshot_id < self.begin else Fit.FITS


@dataclass(slots=True)
class _Held:
    previous: int
    final: int
    event: int
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
        self,
        previous: int,
        final: int,
        event: int,
        line: bytes,
        capture_ns: int,
        mono_ns: int,
        settle_ns: int,
    ) -> list[Released]:
        """Take a message, ids ``previous + 1`` to ``final``; what can be written now, in order.

        ``settle_ns`` is how long to wait for what is missing: 0 where nobody else could bring it.
        ``event`` as in :meth:`Chain.add`.
        """
        held = _Held(previous, final, event, line, capture_ns, mono_ns)
        last = self.chain.last
        if last >= 0 and previous > last and (settle_ns or self._held):
            self._held.append(held)
            return [] if settle_ns else self.due(mono_ns, -1)  # what waits comes first
        if not self._held:
            return [self._release(held)]
        released: list[Released] = []
        if self.chain.link(previous, final, event) is Link.RESET:
            released += self.due(mono_ns, -1)  # what waits is of the ids before
        released.append(self._release(held))
        return released + self._follow()

    def follows(self, previous: int, final: int, event: int) -> bool:
        """Take a message that follows on the last one while none waits, as nearly all do.

        It can be written at once. False where it does not follow: see :meth:`add`.
        """
        chain = self.chain
        if self._held or previous != chain.last or previous < 0:
            return False
        chain.last, chain.last_event = final, event
        return True

    def due(self, mono_ns: int, settle_ns: int) -> list[Released]:
        """What has waited long enough, in order; the gaps in it are gaps."""
        released: list[Released] = []
        while self._held and mono_ns - min(one.since_ns for one in self._held) >= settle_ns:
            released.append(self._release_first(self._held))
            released += self._follow()
        return released

    def _follow(self) -> list[Released]:
        """Those that wait and follow on the last message, or came before it after all."""
        released: list[Released] = []
        while ready := [one for one in self._held if one.previous <= self.chain.last]:
            released.append(self._release_first(ready))
        return released

    def _release_first(self, among: list[_Held]) -> Released:
        one = min(among, key=lambda held: (held.previous, held.final))
        self._held.remove(one)
        return self._release(one)

    def _release(self, one: _Held) -> Released:
        known = self.chain.last
        link = self.chain.add(one.previous, one.final, one.event)
        return Released(one.line, one.capture_ns, link, one.previous, known)
