"""``ReplayJob``: what one task replays, and how. ``ReconstructOptions``: what a user asks for.

A golden sample is one job, which may fill several days; so is a symbol-day of Crypto Lake files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import nextafter
from typing import Any, Literal, get_args

from lobproof.book import BookImage
from lobproof.errors import UsageError
from lobproof.fidelity.metrics.blocks import BLOCK_NS
from lobproof.instruments import Instrument
from lobproof.options import check_number
from lobproof.pipeline.feed import Streams
from lobproof.pipeline.told import Row
from lobproof.replay import Policy
from lobproof.schema.declared import Declared
from lobproof.schema.tables import FORMAT_VERSION, PART_ROWS

STATE_SPACING = {"all": 0, "100ms": 100_000_000, "1s": 1_000_000_000, "none": -1}
"""``states`` option → ns between states (0: each message end, -1: none)."""

States = Literal["all", "100ms", "1s", "none"]
Strategy = Literal["full", "anchored", "time-sorted"]
Asked = Literal["auto", "full", "anchored", "time-sorted"]
Resync = Literal["drift", "always", "never"]


@dataclass(frozen=True, slots=True)
class ReconstructOptions:
    """What shapes the content of a reconstructed day; recorded in its seal.

    ``strategy``, ``resync`` and ``size_limit`` are for Crypto Lake days: how to replay them, when
    a row of `book` corrects the rebuilt book, and the root mean square of relative size errors up
    to which one that differs in sizes alone does not. ``part_rows`` is a constant of the format;
    tests make it small.
    """

    states: States = "all"
    keyframe_seconds: int = 600
    part_rows: int = PART_ROWS
    strategy: Asked = "auto"
    resync: Resync = "drift"
    size_limit: float = 0.001

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        known = (
            ("states", self.states, tuple(STATE_SPACING)),
            ("strategy", self.strategy, get_args(Asked)),
            ("resync", self.resync, get_args(Resync)),
        )
        for name, value, values in known:
            if value not in values:
                raise UsageError(
                    f"{name}={value!r} is unknown", hint=f"choose from {', '.join(values)}"
                )
        if self.keyframe_seconds < 1 or self.part_rows < 1:
            raise UsageError(
                "keyframe_seconds and part_rows must be at least 1", hint="leave them at defaults"
            )
        check_number(
            "size_limit",
            self.size_limit,
            "share",
            least=0.0,
            most=nextafter(1.0, 0.0),
            hint="give 0 or more, and less than 1",
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """A stored book, and the boundary in ns before which it was cut.

    ``last_ts``: of a book that was carried over, the time of what came last in the day before; None
    of a keyframe within a day.
    """

    from_ns: int
    book: BookImage
    last_ts: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partial day begins: ``at`` a keyframe of a sealed one.

    ``hash`` is that of the sealed day's keyframes. ``leads`` are books to set out from, the nearest
    first; None: from the start of the input, where nothing is known yet. ``strategy``, ``reasons``,
    ``provenance`` and ``certified`` are those of the sealed day.
    """

    dt: str
    at: Frame
    hash: str
    leads: tuple[Frame | None, ...]
    strategy: Strategy
    reasons: tuple[str, ...]
    provenance: str
    certified: bool


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """What a task replays.

    ``days`` are those that it may fill, in order; ``one_day`` puts everything into the first,
    whatever the clock says. ``inputs`` have name, bytes and sha256. ``gate``: whether a feed that
    is too lossy for the strategy ends it; ``most_messages`` is more than it can have. ``rows``: how
    many the input has, where that is known. ``told``: findings that each day has beside those of
    its replay. ``carried``: the book that the day before closed with, the hash of its keyframes,
    and its time. ``start``: where the first day begins, if it is a partial one.
    ``check_inputs`` raises where an input was changed since it was hashed.
    """

    where: str
    instrument: Instrument
    provenance: str
    certified: bool
    inputs: Sequence[Mapping[str, Any]]
    days: Sequence[str]
    receive_days: Sequence[str]
    streams: Streams
    policy: Policy
    check_inputs: Callable[[], None]
    strategy: Strategy = "full"
    one_day: bool = False
    gate: bool = False
    most_messages: int = 0
    rows: int = 0
    reasons: tuple[str, ...] = ()
    told: Sequence[Row] = ()
    carried: tuple[BookImage, str, int] | None = None
    start: Start | None = None
    content: Sequence[str] = field(default_factory=list)
    """Hashes that stand for the input's content in the task's id."""
    survey: Mapping[str, Any] = field(default_factory=dict)
    """What was found out about the input beforehand, for a run that goes on."""
    declared: Declared = field(default_factory=Declared)
    """What its streams are by their names."""
    block_ns: int = BLOCK_NS
    """Length of the blocks of its metrics."""

    def task_id(self, options: ReconstructOptions) -> str:
        """Hash of everything that the content follows from."""
        named = {"exchange": self.instrument.exchange, "symbol": self.instrument.symbol}
        identity = {
            "inputs": list(self.content),
            # what a survey found follows from the inputs
            "instrument": named if self.survey else self.instrument.to_dict(),
            "provenance": self.provenance,
            "options": asdict(options),
            "carried": self.carried[1] if self.carried else "",
            "format": FORMAT_VERSION,
            **({"start": [self.start.at.from_ns, self.start.hash]} if self.start else {}),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
