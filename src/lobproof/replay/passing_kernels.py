"""Kernel for messages that are passed by: a run that starts behind them has to know their pace."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import M_SILENCE, THIS_MINUTE, UNCHAINED, note_message
from lobproof.replay.replay_kernels import CLEAR, DELTA, LAST, MARK
from lobproof.schema import SPEAKS_OF_THE_FEED, Int8, Int32, Int64


@kernel
def pass_by(run: Int64, kind: Int8, flags: Int32, ts_order: Int64) -> None:
    """Note when whole messages of the book came, as their replay would; nothing else of them."""
    first = True
    for i in range(kind.shape[0]):
        if first:
            what = kind[i]
            empty = what == MARK and not flags[i] & SPEAKS_OF_THE_FEED
            if what == DELTA or empty or (what == CLEAR and run[UNCHAINED] != 0):
                note_message(run, ts_order[i])
        first = (flags[i] & LAST) != 0
    run[THIS_MINUTE + M_SILENCE] = 0  # of a minute that is nobody's
