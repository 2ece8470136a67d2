"""Other projects' order books on our rows; runs in the peers' environment and never sees ours.

Started by ``benchmarks.peers`` with an ``.npz`` of rows. Reads one JSON command a line from
standard input and answers with one JSON document a line:

- ``{"prepare": NAME, "rows": N}`` makes what the peer eats of the first N rows (not timed);
- ``{"run": NAME}`` feeds them to a fresh book and answers ``{"seconds": [WALL, CPU], "rows"}``;
- ``{"check": NAME, "rows": N, "to": FILE}`` writes the touch after each of N rows.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BID = 1


class Clock:
    """Seconds since it was made, on the clock and of the processor in this thread."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


@dataclass
class Rows:
    """Level changes: side 1 or 2, price and absolute size in counts; 0 removes."""

    side: np.ndarray
    price: np.ndarray
    size: np.ndarray
    price_exponent: int
    size_exponent: int
    tick: int

    @classmethod
    def load(cls, path: Path) -> Rows:
        """Read what ``data.Stream.save`` wrote: opening levels, then a tile to be repeated."""
        with np.load(path) as file:
            tiles = int(file["tiles"])
            columns = (
                np.concatenate([file[f"seed_{name}"], np.tile(file[name], tiles)])
                for name in ("side", "price", "size")
            )
            about = (int(file[name]) for name in ("price_exponent", "size_exponent", "tick"))
            return cls(*columns, *about)

    def head(self, rows: int) -> Rows:
        """The first rows."""
        return Rows(
            self.side[:rows],
            self.price[:rows],
            self.size[:rows],
            self.price_exponent,
            self.size_exponent,
            self.tick,
        )

    def __len__(self) -> int:
        return len(self.side)


class Touch:
    """Best bid and ask after each row in counts, -1 where a side is empty."""

    def __init__(self, rows: int) -> None:
        self.columns = {
            name: np.full(rows, -1, np.int64) for name in ("bid", "bid_size", "ask", "ask_size")
        }


class Hftbacktest:
    """The feed loop that its users write: numba, ``wait_next_feed``, ``depth``.

    Each row has a time of its own, so that the loop wakes after each. Rows carry the local flag
    only: with the exchange's too it would keep a second book.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def prepare(self, rows: Rows) -> Any:
        from hftbacktest import BUY_EVENT, DEPTH_EVENT, LOCAL_EVENT, SELL_EVENT
        from hftbacktest.types import event_dtype

        events = np.zeros(len(rows) + 1, event_dtype)
        events["ev"] = DEPTH_EVENT | LOCAL_EVENT
        events["ev"][:-1] |= np.where(rows.side == BID, BUY_EVENT, SELL_EVENT).astype(np.uint64)
        events["exch_ts"] = events["local_ts"] = 1_000 * (1 + np.arange(len(rows) + 1))
        events["px"][:-1] = rows.price / 10**rows.price_exponent
        events["qty"][:-1] = rows.size / 10**rows.size_exponent
        events[-1]["ev"] = LOCAL_EVENT  # the loop does not wake for the last event of all
        return events

    def _backtest(self, rows: Rows, events: Any) -> Any:
        import hftbacktest as hb

        tick = rows.tick / 10**rows.price_exponent
        asset = hb.BacktestAsset().data(events).linear_asset(1.0)
        asset = asset.constant_order_latency(0, 0).risk_adverse_queue_model()
        asset = asset.no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        asset = asset.tick_size(tick).lot_size(10.0**-rows.size_exponent)
        if self.kind == "hashmap":
            return hb.HashMapMarketDepthBacktest([asset])
        middle = float(np.median(rows.price)) / 10**rows.price_exponent
        asset = asset.roi_lb(middle - ROI_TICKS // 2 * tick).roi_ub(middle + ROI_TICKS // 2 * tick)
        return hb.ROIVectorMarketDepthBacktest([asset])

    def run(self, rows: Rows, events: Any) -> tuple[float, float]:
        backtest = self._backtest(rows, events)
        bid, ask = np.zeros(len(rows)), np.zeros(len(rows))
        loop, _ = _loops()
        clock = Clock()
        done = loop(backtest, bid, ask)
        seconds = clock.read()
        backtest.close()
        if done != len(rows):
            raise RuntimeError(f"the feed loop woke {done} times for {len(rows)} rows")
        return seconds

    def check(self, rows: Rows, events: Any) -> Touch:
        backtest = self._backtest(rows, events)
        values = np.full((4, len(rows)), np.nan)
        _, loop = _loops()
        loop(backtest, values)
        backtest.close()
        touch = Touch(len(rows))
        for (name, column), value in zip(touch.columns.items(), values, strict=True):
            exponent = rows.size_exponent if "size" in name else rows.price_exponent
            known = np.isfinite(value) & (np.abs(value) < 1e12)
            column[known] = np.rint(value[known] * 10.0**exponent).astype(np.int64)
        for side in ("bid", "ask"):  # an empty side has no size either
            touch.columns[f"{side}_size"][touch.columns[side] < 0] = -1
        return touch


_LOOPS: list[Any] = []


def _loops() -> list[Any]:
    """Loops over a feed, compiled at the first call for each kind of depth."""
    if _LOOPS:
        return _LOOPS
    from numba import njit

    @njit
    def timed(backtest, bid, ask):
        row = 0
        while row < len(bid) and backtest.wait_next_feed(False, 10**18) == 2:
            depth = backtest.depth(0)
            bid[row] = depth.best_bid
            ask[row] = depth.best_ask
            row += 1
        return row

    @njit
    def checked(backtest, values):
        row = 0
        while row < values.shape[1] and backtest.wait_next_feed(False, 10**18) == 2:
            depth = backtest.depth(0)
            # not best_bid_qty: in 2.4.4 the vector's gives the price
            values[0, row] = depth.best_bid
            values[1, row] = depth.bid_qty_at_tick(depth.best_bid_tick)
            values[2, row] = depth.best_ask
            values[3, row] = depth.ask_qty_at_tick(depth.best_ask_tick)
            row += 1

    _LOOPS.extend([timed, checked])
    return _LOOPS


class Nautilus:
    """``OrderBook.apply_delta`` of ``OrderBookDelta`` objects that exist already."""

    def __init__(self, read: bool) -> None:
        self.read = read

    def prepare(self, rows: Rows) -> Any:
        from nautilus_trader.model.data import BookOrder, OrderBookDelta
        from nautilus_trader.model.enums import BookAction, OrderSide
        from nautilus_trader.model.identifiers import InstrumentId
        from nautilus_trader.model.objects import Price, Quantity

        name = InstrumentId.from_str("SYMBOL.VENUE")
        sides = (OrderSide.NO_ORDER_SIDE, OrderSide.BUY, OrderSide.SELL)
        price_scale, size_scale = 10**rows.price_exponent, 10**rows.size_exponent
        deltas = []
        gc.disable()
        for number, (side, price, size) in enumerate(
            zip(rows.side.tolist(), rows.price.tolist(), rows.size.tolist(), strict=True)
        ):
            order = BookOrder(
                sides[side],
                Price(price / price_scale, rows.price_exponent),
                Quantity(size / size_scale, rows.size_exponent),
                0,
            )
            action = BookAction.UPDATE if size else BookAction.DELETE
            deltas.append(OrderBookDelta(name, action, order, 0, number, number, number))
        gc.enable()
        gc.freeze()
        return deltas

    def _book(self) -> Any:
        from nautilus_trader.model.book import OrderBook
        from nautilus_trader.model.enums import BookType
        from nautilus_trader.model.identifiers import InstrumentId

        return OrderBook(InstrumentId.from_str("SYMBOL.VENUE"), BookType.L2_MBP)

    def run(self, rows: Rows, deltas: Any) -> tuple[float, float]:
        book = self._book()
        apply, bid, ask = book.apply_delta, book.best_bid_price, book.best_ask_price
        clock = Clock()
        if self.read:
            for delta in deltas:
                apply(delta)
                bid()
                ask()
        else:
            for delta in deltas:
                apply(delta)
        return clock.read()

    def check(self, rows: Rows, deltas: Any) -> Touch:
        book = self._book()
        touch = Touch(len(rows))
        read = {
            "bid": (book.best_bid_price, rows.price_exponent),
            "bid_size": (book.best_bid_size, rows.size_exponent),
            "ask": (book.best_ask_price, rows.price_exponent),
            "ask_size": (book.best_ask_size, rows.size_exponent),
        }
        columns = [(touch.columns[name], best, 10**places) for name, (best, places) in read.items()]
        for row, delta in enumerate(deltas):
            book.apply_delta(delta)
            for column, best, scale in columns:
                value = best()
                if value is not None:
                    column[row] = round(value.as_double() * scale)
        return touch


class SortedContainers:
    """A ``SortedDict`` a side, integer keys, bids negated so that the best comes first."""

    def __init__(self, read: bool) -> None:
        self.read = read

    def prepare(self, rows: Rows) -> Any:
        keys = np.where(rows.side == BID, -rows.price, rows.price)
        return (rows.side == BID).tolist(), keys.tolist(), rows.size.tolist()

    def run(self, rows: Rows, columns: Any) -> tuple[float, float]:
        from sortedcontainers import SortedDict

        bids, asks = SortedDict(), SortedDict()
        read = self.read
        clock = Clock()
        for is_bid, key, size in zip(*columns, strict=True):
            book = bids if is_bid else asks
            if size:
                book[key] = size
            else:
                book.pop(key, None)
            if read:
                if bids:
                    bids.peekitem(0)
                if asks:
                    asks.peekitem(0)
        return clock.read()

    def check(self, rows: Rows, columns: Any) -> Touch:
        from sortedcontainers import SortedDict

        bids, asks = SortedDict(), SortedDict()
        touch = Touch(len(rows)).columns
        for row, (is_bid, key, size) in enumerate(zip(*columns, strict=True)):
            book = bids if is_bid else asks
            if size:
                book[key] = size
            else:
                book.pop(key, None)
            if bids:
                best, touch["bid_size"][row] = bids.peekitem(0)
                touch["bid"][row] = -best
            if asks:
                touch["ask"][row], touch["ask_size"][row] = asks.peekitem(0)
        result = Touch(0)
        result.columns = touch
        return result


ROI_TICKS = 1 << 21
"""Range of prices that hftbacktest's vector covers; rows beyond it are none of its business."""

PEERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "hftbacktest ROIVector": ("hftbacktest", lambda: Hftbacktest("roi")),
    "hftbacktest HashMap": ("hftbacktest", lambda: Hftbacktest("hashmap")),
    "nautilus no read": ("nautilus_trader", lambda: Nautilus(read=False)),
    "nautilus": ("nautilus_trader", lambda: Nautilus(read=True)),
    "sortedcontainers no read": ("sortedcontainers", lambda: SortedContainers(read=False)),
    "sortedcontainers": ("sortedcontainers", lambda: SortedContainers(read=True)),
}


class Worker:
    """Answers commands."""

    def __init__(self, path: Path) -> None:
        self.rows = Rows.load(path)
        self.ready: dict[str, tuple[Any, Rows, Any]] = {}
        self.food: dict[tuple[str, int], Any] = {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one thing."""
        if "prepare" in command:
            return self._prepare(command["prepare"], command["rows"])
        if "run" in command:
            peer, rows, food = self.ready[command["run"]]
            return {"seconds": peer.run(rows, food), "rows": len(rows)}
        if "check" in command:
            peer, rows, food = self.ready[command["check"]]
            rows = rows.head(command["rows"])
            food = peer.prepare(rows) if len(rows) < len(self.ready[command["check"]][1]) else food
            np.savez(command["to"], **peer.check(rows, food).columns)
            return {"rows": len(rows)}
        raise ValueError(f"no such command: {command}")

    def _prepare(self, name: str, count: int) -> dict[str, Any]:
        package, make = PEERS[name]
        peer = make()
        rows = self.rows.head(count)
        if (package, count) not in self.food:  # its peers eat the same
            self.food[package, count] = peer.prepare(rows)
        food = self.food[package, count]
        self.ready[name] = (peer, rows, food)
        if package == "hftbacktest":  # compiles the loop for this kind of depth
            few = rows.head(1000)
            peer.run(few, peer.prepare(few))
        return {"rows": len(rows), "version": importlib.metadata.version(package)}


def main() -> None:
    """Serve until standard input closes."""
    worker = Worker(Path(sys.argv[1]))
    print(json.dumps({"python": platform.python_version(), "rows": len(worker.rows)}), flush=True)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # the peer's trouble is a result, too
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
