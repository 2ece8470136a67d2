"""Hours of a collection: captures that overlap count once, whatever order they stand in."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lobproof.sources.captured import SessionDocument
from lobproof.sources.collection.found import FoundSession
from lobproof.sources.collection.listing import listing

SESSIONS = st.lists(
    st.tuples(st.integers(1, 50), st.integers(-3, 50), st.sampled_from("ab"), st.booleans()),
    max_size=8,
)
NEED = 20


def found(start: int, length: int, regime: str, purged: bool) -> FoundSession:
    document = SessionDocument(
        state="failed",
        provenance="real",
        market="spot",
        symbols=["AUSDT"],
        snapshot_limit=5000,
        sockets="wss://venue",
        rest="https://venue",
        regime=regime,
        started_ns=start,
        ended_ns=max(start + length, 1),
        purged_ns=int(purged),
    )
    return FoundSession(Path("nowhere"), document, None)


@given(SESSIONS)
def test_the_time_that_any_capture_covers(several: list[tuple[int, int, str, bool]]) -> None:
    """Against the plain count: instant by instant, how many captures cover it."""
    made = listing((found(*one) for one in several), NEED)
    kept = [one for one in several if not one[3]]
    assert len(made.holdings) == bool(several)
    for one in made.holdings:
        assert one.told.keys() == {regime for _, _, regime, _ in kept}
        for regime, told in one.told.items():
            depth = [
                sum(start <= at < start + length for start, length, name, _ in kept
                    if name == regime)
                for at in range(101)
            ]  # fmt: skip
            assert told == sum(covers > 0 for covers in depth)
            assert one.overlap.get(regime, 0) == sum(covers > 1 for covers in depth)
        depth = [sum(start <= at < start + length for start, length, *_ in kept)
                 for at in range(101)]  # fmt: skip
        assert sum(one.detected.values()) == sum(covers > 0 for covers in depth)
        for regime in {regime for _, _, regime, _ in several}:
            assert one.lacking.get(regime, 0) == max(NEED - one.told.get(regime, 0), 0)
