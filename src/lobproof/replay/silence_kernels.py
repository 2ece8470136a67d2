"""How silence is seen: the pace of the book's messages, and what they leave unheard."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.replay.pace_kernels import limit_of, paced
from lobproof.schema import SPEAKS_OF_THE_FEED, Int8, Int32, Int64
from lobproof.schema.plain import CLEAR, DELTA, F_LAST, MARK, Q_UNSEEDED
from lobproof.schema.records import Record


@kernel
def quiet_limit(state: Record) -> int:
    """The longest time without a depth message that the feed's cadence explains, ns."""
    return limit_of(state.cadence)


@kernel
def silent(state: Record, ts: int) -> bool:
    """Whether the feed has been quiet for longer than is its way, and no loss is known yet.

    Before the seed too: what the book held proves nothing about the first snapshot.
    """
    if state.last_alive == 0 or (state.trust.reason != 0 and state.trust.reason != Q_UNSEEDED):
        return False
    return bool(ts - state.last_alive > quiet_limit(state))


@kernel
def silent_chainless(state: Record, ts: int) -> bool:
    """Whether a silence is a loss already: a chain would tell with the next message."""
    return bool(state.chainless != 0 and silent(state, ts))


@kernel
def flowing(state: Record, ts: int) -> bool:
    """Whether depth messages come in: only then can a vendor's row anchor what they change."""
    return bool(state.book_ts == 0 or ts - state.book_ts <= quiet_limit(state))


@kernel
def note_message(state: Record, ts: int) -> None:
    """A message of the book has come: the feed lives, at this cadence."""
    if state.book_ts > 0:
        since = ts - state.book_ts
        state.minute.longest_silence = max(state.minute.longest_silence, since)
        state.cadence = paced(state.cadence, since)
    state.book_ts = ts
    state.last_alive = ts


@kernel
def pass_by(state: Record, kind: Int8, flags: Int32, ts_order: Int64) -> None:
    """Note when whole messages of the book came, as their replay would; nothing else of them.

    A replay that starts behind them has to know their pace.
    """
    first = True
    for i in range(kind.shape[0]):
        if first:
            empty = kind[i] == MARK and not flags[i] & SPEAKS_OF_THE_FEED
            # where snapshots are the feed's messages, each opens with CLEAR
            whole = kind[i] == CLEAR and state.chainless != 0
            if kind[i] == DELTA or empty or whole:
                note_message(state, ts_order[i])
        first = (flags[i] & F_LAST) != 0
    state.minute.longest_silence = 0  # of a minute that is nobody's
