"""The schema's codes as plain integers, for kernels.

numba takes no ``IntFlag``, and compiles a kernel once more for an argument that is an ``IntEnum``.
Flags begin with ``F_``, findings with ``Q_``; kinds and sides have their own names.
"""

from __future__ import annotations

from lobproof.schema.codes import Finding, Flag, Kind, Side

NO_SIDE = int(Side.NONE)
BID = int(Side.BID)
ASK = int(Side.ASK)

TRADE = int(Kind.TRADE)
DELTA = int(Kind.DELTA)
SNAPSHOT = int(Kind.SNAPSHOT)
CLEAR = int(Kind.CLEAR)
MARK = int(Kind.MARK)

F_LAST = int(Flag.LAST)
F_GAP = int(Flag.GAP)
F_RESYNC = int(Flag.RESYNC)
F_DOUBTFUL = int(Flag.DOUBTFUL)
F_CROSSED = int(Flag.CROSSED)
F_BAD_TS = int(Flag.BAD_TS)
F_OFF_TICK = int(Flag.OFF_TICK)
F_OFF_LOT = int(Flag.OFF_LOT)
F_DUPLICATE = int(Flag.DUPLICATE)
F_OUT_OF_ORDER = int(Flag.OUT_OF_ORDER)
F_COMPLETE = int(Flag.COMPLETE)
F_DRIFT = int(Flag.DRIFT)
F_TRADES = int(Flag.TRADES)
F_INVALID = int(Flag.INVALID)
F_RECONNECT = int(Flag.RECONNECT)
F_SILENCE = int(Flag.SILENCE)
F_GHOST_LEVELS = int(Flag.GHOST_LEVELS)
F_REFUTED = int(Flag.REFUTED)
F_AWAITS = int(Flag.AWAITS)

Q_UNSEEDED = int(Finding.UNSEEDED)
Q_GAP = int(Finding.GAP)
Q_TRADE_GAP = int(Finding.TRADE_GAP)
Q_CROSSED = int(Finding.CROSSED)
Q_DRIFT = int(Finding.DRIFT)
Q_TOUCH_BEYOND_RANGE = int(Finding.TOUCH_BEYOND_RANGE)
Q_DUPLICATE = int(Finding.DUPLICATE)
Q_OUT_OF_ORDER = int(Finding.OUT_OF_ORDER)
Q_BAD_TS = int(Finding.BAD_TS)
Q_OFF_TICK = int(Finding.OFF_TICK)
Q_OFF_LOT = int(Finding.OFF_LOT)
Q_INVALID_INPUT = int(Finding.INVALID_INPUT)
Q_TRUNCATED_INPUT = int(Finding.TRUNCATED_INPUT)
Q_TRADE_UNCONFIRMED = int(Finding.TRADE_UNCONFIRMED)
Q_SEQUENCE_RESET = int(Finding.SEQUENCE_RESET)
Q_SILENCE = int(Finding.SILENCE)
Q_GHOST_LEVELS = int(Finding.GHOST_LEVELS)
Q_STALE_BOOK = int(Finding.STALE_BOOK)
Q_VENDOR_ROW_UNUSED = int(Finding.VENDOR_ROW_UNUSED)
Q_UNREADABLE = int(Finding.UNREADABLE)
Q_REFUTED = int(Finding.REFUTED)
Q_TRADES_ABSENT = int(Finding.TRADES_ABSENT)
Q_VENDOR_ROW_STALE = int(Finding.VENDOR_ROW_STALE)
Q_ANCHOR_UNPROVEN = int(Finding.ANCHOR_UNPROVEN)
