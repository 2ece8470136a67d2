"""Codes of the stored tables: kinds, sides, flags, findings."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any


class Kind(IntEnum):
    """What a row of ``events`` is."""

    TRADE = 1
    DELTA = 2  # a level's new absolute size; 0 removes it
    SNAPSHOT = 3  # a level as a snapshot lists it
    CLEAR = 4  # the book is unknown from here
    MARK = 5  # no level: an empty message, a gap, a reconnect; the flags say what


class Side(IntEnum):
    """Side of the book, or the taker's side of a trade."""

    NONE = 0
    BID = 1
    ASK = 2

    # a trade's taker
    BUY = 1
    SELL = 2


class Flag(IntFlag):
    """What was known at that event. Stored as int32."""

    LAST = 1 << 0  # end of a message
    GAP = 1 << 1  # messages are missing right before this one
    RESYNC = 1 << 2  # a snapshot that restored trust, or a gap that a snapshot bridged
    DOUBTFUL = 1 << 3  # the touch is not trusted after this event
    CROSSED = 1 << 4  # best bid at or above best ask after this message
    BAD_TS = 1 << 5  # the exchange's time is missing or out of range; ts_order is a substitute
    OFF_TICK = 1 << 6
    OFF_LOT = 1 << 7
    DUPLICATE = 1 << 8  # a message that was already applied; recorded, not applied again
    OUT_OF_ORDER = 1 << 9  # a message older than what was applied; recorded, not applied
    COMPLETE = 1 << 10  # a snapshot row of a side that is listed whole
    DRIFT = 1 << 11  # a snapshot that contradicts the rebuilt book
    TRADES = 1 << 12  # this mark speaks of the trades, or of another stream than the book's
    INVALID = 1 << 13  # stands for input that could not be read
    RECONNECT = 1 << 14  # the recorder's connection or file ended here
    SILENCE = 1 << 15  # this mark: no depth message for longer than the feed's cadence explains
    GHOST_LEVELS = 1 << 16  # a snapshot that lacks levels held beyond the book's trusted range
    REFUTED = 1 << 17  # a snapshot not believed: not applied, or, on a depth message, undone there
    AWAITS = 1 << 18  # a snapshot that differs from the book: the next depth message decides
    BACKFILLED = 1 << 19  # a trade that no socket brought: REST told it later, by its id
    COARSE_TS = 1 << 20  # its exchange time is in ms, where its stream's are in µs


DISTRUSTS = int(Flag.DRIFT | Flag.SILENCE)
"""A MARK that speaks of the feed with one of these takes all trust away and names no hole."""

_DRIFT = int(Flag.DRIFT)
SPEAKS_OF_THE_FEED = int(
    Flag.GAP
    | Flag.DUPLICATE
    | Flag.OUT_OF_ORDER
    | Flag.DRIFT
    | Flag.TRADES
    | Flag.INVALID
    | Flag.RECONNECT
    | Flag.SILENCE
)
"""A MARK with one of these speaks of the feed: see `speaks_of_the_feed`."""


def speaks_of_the_feed(flags: Any, prev_sequence: Any) -> Any:
    """Whether a MARK speaks of the feed; if not, it is an empty depth message.

    An empty depth message can prove a snapshot wrong and carry ``DRIFT`` alone; unlike a mark of
    doubt it has an id before. For ints, arrays and expressions alike.
    """
    said = flags & SPEAKS_OF_THE_FEED
    return (said != 0) & ((said != _DRIFT) | (prev_sequence < 0))


class Finding(IntEnum):
    """Code of a row of ``quality``."""

    UNSEEDED = 1  # no snapshot yet: nothing of the book is known to be complete
    GAP = 2  # book messages missing; until the next anchor
    TRADE_GAP = 3  # trade ids missing
    CROSSED = 4
    DRIFT = 5  # a snapshot contradicts the book; reaches back to the last row that agreed
    TOUCH_BEYOND_RANGE = 6  # the market left the range that the snapshots cover
    DUPLICATE = 7
    OUT_OF_ORDER = 8
    BAD_TS = 9
    OFF_TICK = 10
    OFF_LOT = 11
    INVALID_INPUT = 12
    TRUNCATED_INPUT = 13
    TRADE_UNCONFIRMED = 14  # a trade whose level no depth message names in time
    SEQUENCE_RESET = 15  # ids of book messages went back; until the next anchor
    SILENCE = 16  # no book message for longer than the feed's cadence; until the next anchor
    GHOST_LEVELS = 17  # levels beyond the trusted range that a wider snapshot does not list
    STALE_BOOK = 18  # a minute in which most trades print far from the touch
    VENDOR_ROW_UNUSED = 19  # rows of the vendor's `book` that cannot be a book, or come too late
    UNREADABLE = 20  # depth lines that cannot be read, and no chain that goes on behind them
    REFUTED = 21  # a snapshot that a whole chain contradicts: the chain is believed
    TRADES_ABSENT = 22  # no trades where there must have been some
    CLOCK = 23  # a table's times disagree with the other tables'
    VENDOR_ROW_STALE = 24  # the vendor's `book` stands still while the market moves
    TABLE_APART = 25  # both clocks of a table disagree with the other tables'
    ANCHOR_UNPROVEN = 26  # no depth message follows the snapshot that anchors


class Severity(IntEnum):
    """How a finding bears on the rows that it covers."""

    INFO = 1  # normal for the venue; counted
    WARNING = 2  # worth a look; the book stands
    DOUBT = 3  # the touch is not to be trusted: ``trusted()`` leaves these rows out


COVERED_STREAMS = ("depth", "snapshots", "trades", "book", "all")
"""What a seal's ``coverage`` speaks of: depth messages, snapshots among the events, trades, rows of
the vendor's `book`, and anything at all."""

LEVELS = 20
"""Levels a side in ``states``."""

PENDING_MESSAGES = 2
PENDING_NS = 200_000_000
"""A trade whose level no depth message names is pending for so many, and for so long, at least."""
UNORDERED = 1 << 62
"""A trade's ``sequence`` from here on stands for an id that is text and tells no order."""

UNTRUSTED = 0
RANGE = 1
EVERYTHING = 2
"""``trust`` of a side: nothing, down to a price, or the whole side."""

PRICE_SCALE = 18
"""Decimal digits of a stored price or size: decimal128(38, 18)."""
