"""Binance's own downloads, as rows."""

from __future__ import annotations

from typing import NamedTuple

T0 = 1_700_000_000_000
DEPTH_HEADER = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
UPDATES = [DEPTH_HEADER] + [
    f"BTCUSDT,{T0 + 100 * n},{10 * n},{10 * n + 9},{side},set,{price},{n}.5,{10 * n - 1}"
    for n in range(1, 40)
    for side, price in (("b", f"100.{n % 5}"), ("a", f"101.{n % 7}"), ("b", f"99.{n % 9}"))
]
SNAPSHOT = [DEPTH_HEADER] + [
    f"BTCUSDT,{T0 + 350},-1,35,{side},snap,{price},7.0,-1"
    for side, price in (("b", "100.4"), ("b", "99.8"), ("a", "101.6"), ("a", "102.0"))
]
AGGREGATES = [
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
] + [
    f"{n},10{n % 2}.{n % 5},0.25,{2 * n},{2 * n + 1},{T0 + 100 * n - 30},{str(n % 2 > 0).lower()}"
    for n in range(1, 40)
]
SPOT_TRADES = [
    f"{n},100.{n % 5},0.25,25.0,{(T0 + 7 * n) * 1000 + n},{n % 2 > 0},True" for n in range(1, 60)
]
SPOT_AGGREGATES = [
    f"{n},100.{n % 5},0.25,{2 * n},{2 * n + 1},{T0 + 7 * n},{n % 2 > 0},True" for n in range(1, 60)
]
TRADES = ["id,price,qty,quote_qty,time,is_buyer_maker"] + [
    f"{n},100.{n % 5},0.25,25.0,{T0 + 7 * n},{str(n % 2 > 0).lower()}" for n in range(1, 60)
]
TICKERS = [
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
] + [f"{10 * n},100.0,1.5,101.0,2.5,{T0 + 100 * n},{T0 + 100 * n + 4}" for n in range(1, 40)]


class File(NamedTuple):
    """A download: how it is named, its rows, and the market."""

    name: str
    rows: list[str]
    futures: bool
    counted: dict[str, int]


FILES = {
    "spot trades": File("BTCUSDT-trades-2025-01-02", SPOT_TRADES, False, {"trade": 59}),
    "spot aggTrades": File("BTCUSDT-aggTrades-2024-01", SPOT_AGGREGATES, False, {"aggTrade": 59}),
    "trades": File("BTCUSDT-trades-2023-11-14", TRADES, True, {"trade": 59}),
    "aggTrades": File("BTCUSDT-aggTrades-2023-11-14", AGGREGATES, True, {"aggTrade": 39}),
    "bookTicker": File("BTCUSDT-bookTicker-2023-11-14", TICKERS, True, {"bookTicker": 39}),
    "T_DEPTH": File("BTCUSDT_T_DEPTH_2023-11-14_depth_update", UPDATES, True, {"depth": 39}),
    "snapshots": File("BTCUSDT_T_DEPTH_2023-11-14_depth_snap", SNAPSHOT, True, {"snapshot": 1}),
}
