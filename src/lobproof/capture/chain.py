"""A symbol's depth messages by their ids: what follows, what is missing, which snapshot fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Link(Enum):
    """How a depth message stands to those before it."""

    FIRST = "first"
    """None came before, or what came before was given up."""
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

    def forget(self) -> None:
        """Give up the run, as where a connection is lost."""
        self.begin = self.last = -1
