"""What REST's answers say of the trades that a recording lost: which of them are placed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import EventBatch, Flag, Int64
from lobproof.schema.records import Records
from lobproof.sources.age import Identities
from lobproof.sources.binance.backfill import Weave, answers_stream, within
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.rows import new_passed, trade_batch
from lobproof.sources.binance.scan_kernels import TRADE
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.recordings.audit import DAY_NS, IdAudit

LISTED = 20
"""Contradictions that are listed."""
AWAITED = 1000
"""Gaps that are listed."""
_ASKED = re.compile(
    rb'"capture_ns":(?P<at>[0-9]+),[^\n]{0,60}?"stream":"control","conn":[0-9]+,'
    rb'"event":"(?P<event>gap|no_backfill)",(?:"of":"trade",)?'
    rb'"after":(?P<after>[0-9]{1,18}),"before":(?P<before>[0-9]{1,18})'
)
"""That trades were lost, which asks for them; that some will not come."""
_MS = 1_000_000
Mask = NDArray[np.bool_]


def has_answers(document: dict[str, Any]) -> bool:
    """Whether a sample holds answers of REST with trades of a gap."""
    return answers_stream(document["venue_symbol"]) in document["streams"]


def judge_answers(source: GoldenSource) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is to be said of a sample's answers, and its trade ids with what they bring.

    A trade is placed where its id is missing between two that were received, nothing contradicts
    it, and it has a time. What was received stands as it is: an answer is held against it. Two
    answers that differ are no answer. Reads the journals three times; memory holds the answers and
    the gaps.
    """
    answers = source.answers()
    trades, unlike = _merged(answers.trades())
    stream = _Stream(trades)
    for block in source.blocks((TRADE,)):
        rows = block.messages[block.messages["kind"] == TRADE]
        if len(rows):
            stream.take(rows, trade_batch(block, TRADE, source.instrument, stream.passed))
    unlike |= stream.unlike
    lost = stream.lost(trades.sequence)
    days = np.array(source.sample.receive_days, "datetime64[D]").astype(np.int64)
    timed = (trades.ts_event > 0) & ~np.isin(trades.ts_event // DAY_NS, days)
    told = lost & ~stream.received & (trades.price > 0) & (trades.size > 0)
    placed = trades.sequence[told & timed & ~unlike]
    weave, audit = Weave(placed), IdAudit()
    for block in source.blocks((TRADE,)):
        audit.add(*weave.ids(block.messages[block.messages["kind"] == TRADE]))
    return {
        "answers": dict(answers.lines),
        "unread": answers.unread,
        "first_unread": answers.first_unread,
        "lost": stream.count,
        "backfilled": len(placed),
        "received": int(np.count_nonzero(stream.received)),
        "late": int(np.count_nonzero(stream.received & lost)),
        "contradicting": int(np.count_nonzero(unlike)),
        "first_contradicting": trades.sequence[unlike][:LISTED].tolist(),
        "untimed": int(np.count_nonzero(told & ~unlike & ~timed)),
        "microseconds": stream.microseconds,
        "placed": _ranges(placed),
    }, audit.to_dict()


def awaited(
    source: GoldenSource, journals: Iterable[tuple[Path, int, Identities | None]]
) -> dict[str, Any]:
    """Trades of gaps that a capture asked REST for, and of which its journals hold no word more.

    ``trades`` counts them; ``gaps`` lists when each was found, ns by the capture's clock, and how
    many trades of it are awaited. The answer may lie in a journal that was not imported, or not
    yet; or the session was killed. ``journals`` are the capture's: each with how many bytes of it
    were imported, and what decrypts it. They are read once; a sample does not hold their gaps.
    """
    asked: dict[tuple[int, int], int] = {}
    for path, size, identities in journals:
        for frame in read_frames(path, size, identities):
            if isinstance(frame, Loss):
                continue  # a finding of the import
            for line in _ASKED.finditer(frame):
                gap = int(line["after"]), int(line["before"])
                if line["event"] == b"gap":
                    asked[gap] = int(line["at"])
                else:
                    asked.pop(gap, None)
    answers = np.unique(source.answers().trades().sequence) if asked else np.empty(0, np.int64)
    gaps = []
    for (after, before), at_ns in asked.items():
        came = np.searchsorted(answers, before) - np.searchsorted(answers, after, side="right")
        if left := before - after - 1 - int(came):
            gaps.append((at_ns, left))
    return {"trades": sum(left for _, left in gaps), "gaps": gaps[:AWAITED]}


class _Stream:
    """The trades that were received, against those of the answers: ``trades``, by id."""

    def __init__(self, trades: EventBatch) -> None:
        self._trades = trades
        self._last: int | None = None
        self._gaps = np.empty((0, 2), np.int64)
        self._late = np.empty(0, np.int64)
        self.passed = new_passed()
        self.received = np.zeros(len(trades), np.bool_)
        self.unlike = np.zeros(len(trades), np.bool_)
        self.microseconds = False

    def take(self, messages: Records, executed: EventBatch) -> None:
        """The next messages, and the trades among them: some are no executions."""
        final = np.ascontiguousarray(messages["final"])
        previous = np.ascontiguousarray(messages["previous"])
        last = int(previous[0]) if self._last is None else self._last
        before = np.maximum.accumulate(np.concatenate([[last], final]))[:-1]
        self._last = max(int(before[-1]), int(final[-1]))
        gap = previous > before
        if gap.any():
            found = np.stack([before[gap] + 1, previous[gap]], axis=1)
            self._gaps = np.concatenate([self._gaps, found])
        behind = final[final <= before]
        if len(behind):
            self._late = np.union1d(self._late, behind[within(behind, self._gaps)])
        self.microseconds |= bool((executed.ts_event % _MS).any())
        at, known = self._places(final)
        self.received[at[known]] = True
        at, known = self._places(executed.sequence)
        told = self._trades.take(at[known])
        self.unlike[at[known]] |= _unlike(told, executed.take(np.flatnonzero(known)))

    def _places(self, ids: Int64) -> tuple[NDArray[np.intp], Mask]:
        """Where ids stand among those of the answers, and which do."""
        own = self._trades.sequence
        at = np.searchsorted(own, ids)
        known = at < len(own)
        known[known] = own[at[known]] == ids[known]
        return at, known

    def lost(self, ids: Int64) -> Mask:
        """Which ids are missing between two that were received, where each came."""
        return within(ids, self._gaps)

    @property
    def count(self) -> int:
        """Ids that are missing, but for those that came late."""
        return int((self._gaps[:, 1] - self._gaps[:, 0] + 1).sum()) - len(self._late)


def _merged(trades: EventBatch) -> tuple[EventBatch, Mask]:
    """Each trade once, by id, as it was told first; which of them were told in two ways."""
    ids, first, place = np.unique(trades.sequence, return_index=True, return_inverse=True)
    once = trades.take(first)
    unlike = np.zeros(len(ids), np.bool_)
    unlike[place[_unlike(once.take(place), trades)]] = True
    return once, unlike


def _unlike(one: EventBatch, other: EventBatch) -> Mask:
    """Which trades differ; times that are told in ms in ms alone."""
    coarse = ((one.flags | other.flags) & int(Flag.COARSE_TS)) != 0
    unit = np.where(coarse, _MS, 1)
    differ: Mask = (
        (one.price != other.price)
        | (one.size != other.size)
        | (one.side != other.side)
        | (one.ts_event // unit != other.ts_event // unit)
    )
    return differ


def _ranges(ids: Int64) -> list[list[int]]:
    """First and last of each run of ids, which ascend."""
    ends = np.flatnonzero(np.diff(ids) != 1)
    first, last = ids[np.append(0, ends + 1)[: len(ids)]], ids[np.append(ends, -1)[: len(ids)]]
    ranges: list[list[int]] = np.stack([first, last], axis=1).tolist()
    return ranges
