"""Kernel that finds the time of each trade, and which trades came late."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.replay.clock_kernels import time_of
from lobproof.schema import UNORDERED, Int8, Int64

PREVIOUS = 0  # time of the trade before
LATEST = 1  # the latest time so far
HIGHEST = 2  # the highest id so far
BACK = 3  # how many trades went back in both
PLACE_STATE = 4


@kernel
def place_trades(
    state: Int64,
    ts_event: Int64,
    ts_recv: Int64,
    sequence: Int64,
    offset: int,
    tolerance: int,
    receive_days: Int64,
    times: Int64,
    late: Int8,
) -> None:
    """Fill the ``times`` that order trades, and which of them are ``late`` where they stand.

    Late is a trade whose id goes back, or, of one without an id that tells an order, whose time
    does. Times are those of :func:`time_of`, by the trade before; one that has none takes that
    trade's. ``state[BACK]`` counts late trades whose time goes back.
    """
    for i in range(sequence.shape[0]):
        time, _ = time_of(
            state[PREVIOUS], ts_event[i], ts_recv[i], offset, tolerance, receive_days, 0
        )
        if time <= 0:
            time = state[PREVIOUS]
        back = time < state[LATEST]
        came_late = back
        if 0 <= sequence[i] < UNORDERED:
            came_late = sequence[i] < state[HIGHEST]
            state[HIGHEST] = max(state[HIGHEST], sequence[i])
        if came_late and back:
            state[BACK] += 1
        late[i] = came_late
        state[LATEST] = max(state[LATEST], time)
        state[PREVIOUS] = time
        times[i] = time
