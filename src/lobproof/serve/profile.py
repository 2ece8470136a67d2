"""What is special to each of the venue's markets: addresses, tiers, limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lobproof.serve.clock import MINUTE, SECOND

MarketName = Literal["spot", "usdm", "coinm"]
TIERS = ("public", "market", "private")
CONNECTION_NS = 24 * 60 * MINUTE
"""How long a connection lives."""
_DEPTH = re.compile(r"depth(@(0|100|250|500|1000)ms)?")
_MARK_PRICE = re.compile(r"markPrice(@1s)?")
_PUBLIC = re.compile(r"(rpiDepth|depth\d*|bookTicker|trade)(@\d+ms)?|!bookTicker")


@dataclass(frozen=True, slots=True)
class Profile:
    """A market's rules.

    ``tiered``: sockets live under ``/public``, ``/market`` and ``/private``; ``plain`` ones at the
    root. ``depth_weights`` are pairs: up to that many levels cost so much.
    """

    market: MarketName
    rest: str
    plain: bool
    tiered: bool
    ping_ns: int
    pong_ns: int
    client_messages: int
    weight: int
    most_levels: int
    depth_weights: tuple[tuple[int, int], ...]
    weights: dict[str, int]
    most_streams: int = 1024

    @property
    def futures(self) -> bool:
        """Whether depth messages chain by ``pu``."""
        return self.market != "spot"

    def depth_weight(self, limit: int) -> int:
        """What a request for so many levels costs."""
        return next(cost for most, cost in self.depth_weights if limit <= most)

    def carries(self, tier: str, name: str) -> bool:
        """Whether a tier carries the stream of this name; another acknowledges it and is silent."""
        if not tier:
            return True
        public = _PUBLIC.fullmatch(name.partition("@")[2] or name) is not None
        return tier == ("public" if public else "market")


_FUTURES_DEPTH = ((50, 2), (100, 5), (500, 10), (1000, 20))
_FUTURES_COSTS = {
    "trades": 5, "historicalTrades": 20, "aggTrades": 20, "exchangeInfo": 1, "time": 1, "ping": 1,
}  # fmt: skip

SPOT = Profile(
    "spot", "/api/v3", True, False, 20 * SECOND, MINUTE, 5, 6000, 5000,
    ((100, 5), (500, 25), (1000, 50), (5000, 250)),
    {"trades": 25, "historicalTrades": 25, "aggTrades": 4, "exchangeInfo": 20, "time": 1,
     "ping": 1},
)  # fmt: skip
USDM = Profile(
    "usdm", "/fapi/v1", False, True, 3 * MINUTE, 10 * MINUTE, 10, 2400, 1000, _FUTURES_DEPTH,
    _FUTURES_COSTS,
)  # fmt: skip
COINM = Profile(
    "coinm", "/dapi/v1", True, True, 3 * MINUTE, 10 * MINUTE, 10, 2400, 1000, _FUTURES_DEPTH,
    _FUTURES_COSTS,
)  # fmt: skip
PROFILES: dict[MarketName, Profile] = {"spot": SPOT, "usdm": USDM, "coinm": COINM}


def data_key(name: str) -> str:
    """The data that a stream's name stands for: all speeds of depth are one."""
    symbol, at, kind = name.partition("@")
    if _DEPTH.fullmatch(kind):
        return f"{symbol}@depth"
    if _MARK_PRICE.fullmatch(kind):
        return f"{symbol}@markPrice"
    return f"{symbol}{at}{kind}"


class Weights:
    """Request weight, counted by the venue's minute, and what comes of using too much.

    Beyond the limit a request is told to wait (429); who goes on nevertheless is shut out (418).
    """

    PATIENCE = 10
    """Requests beyond the limit within a minute before a client is shut out."""
    BAN_NS = 2 * MINUTE

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._minute = -1
        self._beyond = 0
        self._banned_until = 0

    def take(self, cost: int, now: int) -> tuple[int, int]:
        """Take a request's weight: its status, 200 if it may be answered, and seconds to wait."""
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self.used = self._beyond = 0
        if now < self._banned_until:
            return 418, _seconds(self._banned_until - now)
        if self.used + cost <= self.limit:
            self.used += cost
            return 200, 0
        self._beyond += 1
        if self._beyond > self.PATIENCE:
            self._banned_until = now + self.BAN_NS
            return 418, _seconds(self.BAN_NS)
        return 429, _seconds(MINUTE - now % MINUTE)


def _seconds(ns: int) -> int:
    return -(-ns // SECOND)
