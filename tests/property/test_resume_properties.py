"""Killed at any end of a part and resumed: the same hashes, names and bytes as undisturbed."""

from __future__ import annotations

import random
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lobproof.store import commit_day, open_store, symbol_lock
from support.batches import DT, make_day, make_seal
from support.checkpoints import (
    Killed,
    data_files,
    open_writer,
    stop_dead,
    write_day,
    write_rest,
)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 5),
    splits=st.integers(0, 10**6),
    part_rows=st.integers(20, 300),
    frame_every=st.sampled_from([3, 40, 1000]),
    late_frames=st.booleans(),
    kills=st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=4),
)
def test_breaks_leave_no_trace(
    seed: int,
    splits: int,
    part_rows: int,
    frame_every: int,
    late_frames: bool,
    kills: list[tuple[int, bool]],
) -> None:
    """Each kill comes some parts further on, before or after its checkpoint is on the disk."""
    day = make_day(seed, messages=100, frame_every=frame_every)
    rng = random.Random(splits)
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        undisturbed = write_day(one, day, rng, part_rows=part_rows, late_frames=late_frames)
        with symbol_lock(other, "BINANCE", "BTC-USDT"):
            for parts, written in kills:
                writer = open_writer(other, day, part_rows)
                left = [parts]

                def killed(left: list[int] = left) -> None:
                    left[0] -= 1
                    if not left[0]:
                        raise Killed

                with suppress(Killed):
                    write_rest(writer, other, day, rng, at_part_end=killed, late_frames=late_frames)
                stop_dead(writer, with_checkpoint=written)
            with open_writer(other, day, part_rows) as writer:
                content = write_rest(writer, other, day, rng, late_frames=late_frames)
            assert content.hashes == undisturbed.hashes
            assert content.tables == undisturbed.tables
            assert content.first_ts == undisturbed.first_ts
            assert content.last_ts == undisturbed.last_ts
            assert data_files(other) == data_files(one)
            commit_day(other, content, make_seal())
        assert open_store(other).audit("BTC-USDT", dt=DT).clean
