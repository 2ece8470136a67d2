"""Gate A, ``states``: what the stored events do not make is found, at any of the twenty levels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from lobproof.errors import GridError
from lobproof.fidelity.exact import Check, Verdict, states, verify
from lobproof.fidelity.exact.window import Window
from lobproof.schema import Flag, Kind
from lobproof.store import open_store
from plain.messages import Event
from support.market import Market, Spoil, State, make_market


def checked(market: Market, folder: Path, change: Spoil = lambda _: None) -> Check:
    golden = market.write_golden(folder / "golden")
    change(market)
    store = open_store(market.write_store(folder / "store"))
    return verify(store, golden, untrusted_limit=1).check("states")


def test_all_states_are_looked_at(tmp_path: Path) -> None:
    market = make_market(futures=True, unseeded=7)
    check = checked(market, tmp_path)
    assert check.verdict is Verdict.EXACT
    assert check.comparable == check.compared == check.equal == len(market.states)
    assert check.bound is None


def deep(state: State) -> None:
    state.levels[4 * 20 - 1] += 1


def gone(state: State) -> None:
    state.levels[38:40] = [0, 0]


def sides(state: State) -> None:
    state.levels[:] = [*state.levels[40:], *state.levels[:40]]


@pytest.mark.parametrize("change", [deep, gone, sides])
@pytest.mark.parametrize("place", [0, 17, -1])
def test_one_level_of_one_state(
    tmp_path: Path, change: Callable[[State], None], place: int
) -> None:
    market = make_market(partials=False)
    wrong = market.states[place]
    check = checked(market, tmp_path, lambda market: change(market.states[place]))
    assert check.verdict is Verdict.FAIL
    assert check.compared - check.equal == 1
    assert check.first is not None
    assert check.first.id == wrong.after.sequence
    assert check.first.expected != check.first.found


def test_a_state_of_the_message_before(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        one, other = next(
            pair for pair in pairwise(market.states[20:]) if pair[0].levels != pair[1].levels
        )
        other.levels = one.levels

    assert checked(make_market(), tmp_path, change).verdict is Verdict.FAIL


def test_a_state_within_a_message(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        state = next(s for s in market.states[20:] if len(message_of(market, s)) > 1)
        state.after = message_of(market, state)[0]

    check = checked(make_market(), tmp_path, change)
    assert check.verdict is Verdict.FAIL
    assert check.first is not None
    assert "not at the end of a message" in check.first.detail


def message_of(market: Market, state: State) -> list[Event]:
    return market.message(market.rows.index(state.after))


def test_states_in_another_order(tmp_path: Path) -> None:
    """What no store of ours has, and what ends no verification."""
    market = make_market()
    store = open_store(market.write_store(tmp_path))
    dt = str(store.days()["dt"][0])
    day = Window(store, market.instrument.exchange, market.instrument.symbol, (dt,))
    check = states.StatesCheck(day)
    for frame in day.states():
        check.add_states(dt, frame.reverse())
    for frame in day.events():
        check.add_events(dt, frame)
    assert check.result().verdict is Verdict.FAIL


def test_a_state_of_a_trade_is_the_book_as_it_was(tmp_path: Path) -> None:
    """Nobody says that a state stands behind a book message; its ids must be the event's."""

    def change(market: Market) -> None:
        trade = market.rows[market.find(Kind.TRADE, 5)]
        before = next(s for s in reversed(market.states) if s.after.ts_order <= trade.ts_order)
        before.after = trade

    assert checked(make_market(), tmp_path, change).verdict is Verdict.EXACT


def test_a_level_that_no_event_names(tmp_path: Path) -> None:
    """The states are right, and an event is missing: it is the states that differ from the rest."""

    def change(market: Market) -> None:
        row = market.rows[market.find(Kind.DELTA, 40)]
        row.kind, row.side, row.price, row.size = int(Kind.MARK), 0, 0, 0
        row.flags &= int(Flag.LAST)

    assert checked(make_market(), tmp_path, change).verdict is Verdict.FAIL


@pytest.mark.parametrize("looked_at", [1, 5, 7])
def test_of_many_states_some_are_looked_at(
    tmp_path: Path, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "LOOKED_AT", looked_at)
    market = make_market()
    check = checked(market, tmp_path)
    assert check.verdict is Verdict.EXACT
    assert check.comparable == len(market.states)
    assert looked_at <= check.compared <= 2 * looked_at  # of two days
    assert check.bound == pytest.approx(min(3 / check.compared, 1))


def test_without_states_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    check = checked(make_market(), tmp_path, lambda market: market.states.clear())
    assert check.verdict is Verdict.NOT_APPLICABLE


def test_a_day_that_is_off_the_grid_is_said_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise GridError("off the grid", hint="none")

    monkeypatch.setattr(states, "to_batch", refuse)
    found = checked(make_market(), tmp_path)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert set(found.details["left_out"]) == {"2024-08-08", "2024-08-09"}
