"""What is special to Binance's markets: addresses, tiers, limits, streams, how messages chain.

Whoever listens to a market and whoever imitates one go by the same description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from lobproof.errors import UsageError
from lobproof.schema import Order

MarketName = Literal["spot", "usdm", "coinm"]
TIERS = ("public", "market", "private")
SBE_PATH = "/sbe"
"""Where an endpoint has its SBE sockets, which at the venue have an address of their own."""
KEY_HEADER = "X-MBX-APIKEY"
"""The header with the API key, for SBE sockets and old trades of futures."""
_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND
CONNECTION_NS = 24 * 60 * _MINUTE
"""How long a connection lives."""
_DEPTH = re.compile(r"depth(@(0|100|250|500|1000)ms)?")
_MARK_PRICE = re.compile(r"markPrice(@1s)?")
_PUBLIC = re.compile(r"(rpiDepth|depth\d*|bookTicker|trade)(@\d+ms)?|!bookTicker")
_SPOT_ORDER = Order("E", "book")
_FUTURES_ORDER = Order("T", "trade")
_FUTURES = ("BINANCE_FUTURES", "BINANCE_DELIVERY")


@dataclass(frozen=True, slots=True)
class Profile:
    """A market's rules.

    ``sockets`` and ``api`` are the venue's own addresses, ``rest`` the root of all requests.
    ``tiered``: sockets live under ``/public``, ``/market`` and ``/private``; ``plain`` ones at the
    root. ``depth_weights`` are pairs: up to that many levels cost so much. ``kinds`` are the
    streams of a symbol that tell the most. ``microseconds``: times may be asked for in them.
    ``sbe``: the address of the sockets that speak SBE; empty where there are none.
    ``history_page``: trades that ``historicalTrades`` lists at once; ``history_key``: to holders of
    an API key only.
    """

    market: MarketName
    sockets: str
    api: str
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
    kinds: tuple[str, ...]
    microseconds: bool = False
    history_page: int = 1000
    history_key: bool = False
    most_streams: int = 1024
    sbe: str = ""

    @property
    def futures(self) -> bool:
        """Whether depth messages chain by ``pu``; on spot ``U - 1`` is the last ``u``."""
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
_FUTURES_KINDS = (
    "depth@100ms", "trade", "bookTicker", "aggTrade", "markPrice@1s", "forceOrder",
)  # fmt: skip

SPOT = Profile(
    "spot", "wss://stream.binance.com:9443", "https://api.binance.com", "/api/v3",
    True, False, 20 * _SECOND, _MINUTE, 5, 6000, 5000,
    ((100, 5), (500, 25), (1000, 50), (5000, 250)),
    {"trades": 25, "historicalTrades": 25, "aggTrades": 4, "exchangeInfo": 20, "time": 1,
     "ping": 1},
    ("depth@100ms", "trade", "bookTicker"), microseconds=True,
    sbe="wss://stream-sbe.binance.com",
)  # fmt: skip
USDM = Profile(
    "usdm", "wss://fstream.binance.com", "https://fapi.binance.com", "/fapi/v1",
    False, True, 3 * _MINUTE, 10 * _MINUTE, 10, 2400, 1000, _FUTURES_DEPTH, _FUTURES_COSTS,
    _FUTURES_KINDS, history_page=500, history_key=True,
)  # fmt: skip
COINM = Profile(
    "coinm", "wss://dstream.binance.com", "https://dapi.binance.com", "/dapi/v1",
    True, True, 3 * _MINUTE, 10 * _MINUTE, 10, 2400, 1000, _FUTURES_DEPTH, _FUTURES_COSTS,
    _FUTURES_KINDS, history_page=500, history_key=True,
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


def order_of(exchange: str) -> Order:
    """The order of an exchange's two streams, as measured on recordings.

    On spot a depth message has only the time at which it was sent, and one at E = T almost never
    reflects that trade. On futures it has the time of matching, too: a trade belongs with the
    message of its own T, up to 60 ms before E there. For any other exchange spot's is assumed.
    """
    return _FUTURES_ORDER if exchange in _FUTURES else _SPOT_ORDER


@dataclass(frozen=True, slots=True)
class Group:
    """Streams that share a socket: the path of its address, and what they tell of each symbol."""

    path: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Venue:
    """A market at an address: where its sockets and its REST API are, and what to listen to.

    ``query`` is what the address of a socket ends with. ``sbe`` is where its SBE sockets are,
    empty where they are not wanted.
    """

    profile: Profile
    sockets: str
    rest: str
    groups: tuple[Group, ...]
    query: str = ""
    sbe: str = ""

    @property
    def levels(self) -> int:
        """Levels a side that a snapshot is asked for: as many as there may be."""
        return self.profile.most_levels

    @property
    def snapshot_weight(self) -> int:
        """What a snapshot costs."""
        return self.profile.depth_weight(self.levels)


def venue_of(
    market: MarketName,
    endpoint: str | None = None,
    *,
    fast_depth: bool = False,
    rpi: bool = False,
    sbe: bool = False,
) -> Venue:
    """A market at its own addresses, or all of it at an ``endpoint``, ``http://127.0.0.1:8080``.

    Parameters
    ----------
    market
        ``spot``, ``usdm`` or ``coinm``.
    endpoint
        Where something answers as the market does, such as ``lobproof serve``.
    fast_depth
        Depth as soon as it changes (``depth@0ms``) instead of every 100 ms; of futures alone.
    rpi
        The book with RPI orders too (``rpiDepth@500ms``); of USD-M alone.
    sbe
        The SBE streams beside JSON; of spot alone.

    Raises
    ------
    UsageError
        If the market has no such stream, or the endpoint is no address.
    """
    profile = PROFILES[market]
    kinds = list(profile.kinds)
    if fast_depth:
        if not profile.futures:
            raise UsageError(
                "spot has no depth faster than every 100 ms", hint="leave --fast-depth out"
            )
        kinds[kinds.index("depth@100ms")] = "depth@0ms"
    if rpi:
        if market != "usdm":
            raise UsageError(f"{market} has no RPI depth: USD-M has", hint="leave --rpi out")
        kinds.append("rpiDepth@500ms")
    if sbe and not profile.sbe:
        raise UsageError(f"{market} has no SBE streams: spot has", hint="leave --sbe out")
    sockets, api, binary = profile.sockets, profile.api, profile.sbe
    if endpoint is not None:
        sockets, api = _at(endpoint)
        binary = f"{sockets}{SBE_PATH}"
    groups = []
    for tier in [""] if profile.plain else TIERS:
        carried = tuple(kind for kind in kinds if profile.carries(tier, f"symbol@{kind}"))
        if carried:
            groups.append(Group(f"/{tier}" if tier else "", carried))
    query = "&timeUnit=MICROSECOND" if profile.microseconds else ""
    rest = f"{api}{profile.rest}"
    return Venue(profile, sockets, rest, tuple(groups), query, binary if sbe else "")


def _at(endpoint: str) -> tuple[str, str]:
    """The addresses of sockets and of REST at an endpoint."""
    try:
        parts = urlsplit(endpoint)
        bare = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        bare = False
    if not bare or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            f"{endpoint!r} is no endpoint: scheme, host and port",
            hint="write it like http://127.0.0.1:8080, as `lobproof serve` prints it",
        )
    return f"ws{parts.scheme[4:]}://{parts.netloc}", f"{parts.scheme}://{parts.netloc}"
