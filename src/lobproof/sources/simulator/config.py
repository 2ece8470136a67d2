"""What a simulated market is like: ``MarketConfig`` and its presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

from lobproof.errors import UsageError
from lobproof.instruments import Instrument, Rule, canonical_symbol
from lobproof.timespan import DAY_NS

VenueMarket = Literal["spot", "futures"]

FIRST_NS = 365 * DAY_NS
"""The start of 1971: a clock that is behind a little shows no time before 1970."""
LAST_NS = 53_325 * DAY_NS
"""The end of 2115: what comes later no store holds."""


@dataclass(frozen=True, slots=True)
class Excitation:
    """The self-excitation of arrivals: share of all arrivals that each kernel begets, and its time.

    The three shares sum to less than 1 (the branching ratio); times in seconds.
    """

    fast_share: float = 0.40
    fast_seconds: float = 0.02
    mid_share: float = 0.15
    mid_seconds: float = 0.15
    slow_share: float = 0.10
    slow_seconds: float = 30.0

    @property
    def branching(self) -> float:
        """How many arrivals one arrival begets."""
        return self.fast_share + self.mid_share + self.slow_share


@dataclass(frozen=True, slots=True)
class Sizes:
    """Log-normal sizes with a Pareto tail, in lots.

    The upper ``tail_share`` of the distribution follows a power law of (survival) exponent
    ``tail``; nothing is above ``cap`` lots or below ``least``.
    """

    median: float
    sigma: float
    least: int = 1
    tail: float = 1.5
    tail_share: float = 0.02
    cap: int = 10**9


@dataclass(frozen=True, slots=True)
class Distances:
    """Where limit orders go, in ticks behind the best price that they could have.

    A share ``at_touch`` goes to distance 0; the others follow a power law that begins at
    ``scale`` (survival ``(1 + (d / scale) ** hump) ** -tail``), up to ``cap``; a ``hump`` above 1
    makes them rise before they fall.
    """

    at_touch: float
    scale: float
    tail: float
    cap: int
    hump: float = 1.0


@dataclass(frozen=True, slots=True)
class MarketConfig:
    """A market. Prices and sizes are counts of ``10**-price_exponent`` and ``10**-size_exponent``.

    ``rate`` is the mean number of arrivals (orders, cancellations, takers) a second;
    ``volatility`` is relative, per square root of a second; ``slack`` is the distance, relative
    to the price, by which quotes and informed takers let the value run before they follow.
    Regimes are calm, normal, hectic: multipliers and mean times.
    """

    venue_symbol: str = "SIMUSDT"
    market: VenueMarket = "spot"
    price_exponent: int = 2
    size_exponent: int = 8
    tick: int = 1
    lot: int = 1000
    price: int = 6_000_000
    window_bits: int = 21
    beat_s: float = 0.01
    rate: float = 600.0
    excitation: Excitation = Excitation()
    take_share: float = 0.012
    take_weight: float = 2.0
    near_share: float = 0.75
    near_orders: int = 160
    deep_orders: int = 9000
    near: Distances = Distances(0.25, 3000.0, 1.2, 30_000)
    deep: Distances = Distances(0.0, 15_000.0, 0.9, 900_000, 1.5)
    near_sizes: Sizes = Sizes(2500.0, 2.2, 8, 2.0, 0.01, 500_000)
    deep_sizes: Sizes = Sizes(300.0, 2.6, 8, 1.5, 0.01, 50_000_000)
    take_sizes: Sizes = Sizes(300.0, 2.5, 8, 1.5, 0.01, 50_000_000)
    round_share: float = 0.25
    nice_price_share: float = 0.15
    volatility: float = 0.15e-4
    log_volatility: float = 0.7
    log_volatility_seconds: float = 240.0
    slack: float = 0.3e-4
    close_share: float = 0.7
    pull: float = 0.8
    sweep: float = 0.6
    stale_weight: float = 10.0
    impact: float = 0.1
    jumps_per_second: float = 0.5
    jump_size: float = 0.9e-4
    jump_tail: float = 3.5
    burst_share: float = 0.7
    sign_keep: float = 0.72
    walk_share: float = 0.15
    regime_activity: tuple[float, float, float] = (0.6, 1.0, 2.2)
    regime_volatility: tuple[float, float, float] = (0.65, 1.0, 2.0)
    regime_seconds: tuple[float, float, float] = (400.0, 600.0, 150.0)
    off_lot_share: float = 0.0
    legacy_orders: int = 0
    new_tick: int = 0
    new_tick_after_s: float = 0.0
    id_step: int = 1
    first_update_id: int = 50_000_000_000
    first_trade_id: int = 3_700_000_000
    warmup_s: float = 60.0
    start_ns: int = 1_767_571_200_000_000_000

    def __post_init__(self) -> None:
        """Refuse what the engine cannot run."""
        width = 1 << self.window_bits
        problem = ""
        if self.excitation.branching >= 1:
            problem = "the shares of excitation sum to 1 or more: arrivals would explode"
        elif not 10 <= self.window_bits <= 24:
            problem = f"window_bits is {self.window_bits}, not 10 to 24"
        elif self.tick < 1 or self.lot < 1 or self.price < 64 * self.tick:
            problem = "tick and lot must be at least 1 count and the price at least 64 ticks"
        elif self.new_tick and self.new_tick % self.tick and self.tick % self.new_tick:
            problem = "the new tick must be a multiple or a divisor of the old one"
        elif self.legacy_orders and self.tick == 1:
            problem = "orders off the tick need a grid finer than the tick"
        elif max(self.tick, self.new_tick) * 1024 > width:
            problem = "the window holds fewer than 1024 ticks"
        elif not 0 < self.rate < inf or not 0 < self.take_share < 1:
            problem = "rate must be positive and take_share between 0 and 1"
        elif self.market not in get_args(VenueMarket):
            problem = f"its market is one of {', '.join(get_args(VenueMarket))}"
        elif not FIRST_NS <= self.start_ns <= LAST_NS:
            problem = "it is to start from 1971 to 2115"
        if problem:
            raise UsageError(
                f"this market cannot be simulated: {problem}",
                hint="start from a preset and change one thing at a time with dataclasses.replace",
            )

    @property
    def exchange(self) -> str:
        """The venue whose formats the market is written in."""
        return "BINANCE" if self.market == "spot" else "BINANCE_FUTURES"

    @property
    def symbol(self) -> str:
        """The canonical symbol, ``SIM-USDT`` or ``SIM-USDT-PERP`` unless configured."""
        return canonical_symbol(self.venue_symbol, self.market == "futures")

    @property
    def instrument(self) -> Instrument:
        """The grid and its dated rules."""
        rules = [Rule(0, self.tick, self.lot)]
        if self.new_tick:
            rules.append(Rule(self.new_tick_at_ns, self.new_tick, self.lot))
        return Instrument(
            self.exchange,
            self.symbol,
            self.venue_symbol,
            self.price_exponent,
            self.size_exponent,
            tuple(rules),
        )

    @property
    def new_tick_at_ns(self) -> int:
        """When the tick changes."""
        return self.start_ns + round(self.new_tick_after_s * 1e9)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


BTC = MarketConfig()
"""Like BTC-USDT spot: a tick of 0.01 at 60,000, thousands of levels, busy and bursty."""

ETH = dataclasses.replace(
    BTC,
    price=268_000,
    lot=10_000,
    rate=560.0,
    near=Distances(0.25, 120.0, 1.2, 1500),
    deep=Distances(0.0, 500.0, 0.9, 100_000, 1.5),
    near_sizes=Sizes(2000.0, 2.2, 20, 2.0, 0.01, 5_000_000),
    deep_sizes=Sizes(3000.0, 2.3, 20, 1.5, 0.01, 50_000_000),
    take_sizes=Sizes(600.0, 2.2, 20, 1.5, 0.01, 5_000_000),
    window_bits=18,
    first_update_id=38_000_000_000,
    first_trade_id=1_500_000_000,
)
"""Like ETH-USDT spot: coarser against its price than BTC, so a denser book."""

NEXO = dataclasses.replace(
    BTC,
    price=1215,
    price_exponent=3,
    lot=1_000_000,
    window_bits=14,
    beat_s=0.05,
    rate=1.6,
    excitation=Excitation(0.40, 0.05, 0.15, 0.5, 0.10, 60.0),
    take_share=0.03,
    near_orders=30,
    deep_orders=700,
    near=Distances(0.08, 3.0, 1.2, 60),
    close_share=0.1,
    deep=Distances(0.0, 60.0, 0.8, 2000, 1.2),
    near_sizes=Sizes(9000.0, 1.5, 500, 1.8, 0.02, 10_000_000),
    deep_sizes=Sizes(15000.0, 1.8, 500, 1.8, 0.02, 10_000_000),
    take_sizes=Sizes(3500.0, 1.6, 500, 1.8, 0.02, 5_000_000),
    volatility=0.3e-4,
    slack=4e-4,
    jumps_per_second=0.02,
    jump_size=4e-4,
    regime_seconds=(3000.0, 4000.0, 900.0),
    first_update_id=134_000_000,
    first_trade_id=12_700_000,
    warmup_s=1800.0,
)
"""Like NEXO-USDT: a quiet symbol with a wide tick, whose whole book a snapshot holds."""

PERP = dataclasses.replace(
    BTC,
    market="futures",
    price_exponent=1,
    size_exponent=3,
    tick=1,
    lot=1,
    price=600_000,
    window_bits=18,
    rate=2300.0,
    near=Distances(0.3, 60.0, 1.0, 3000),
    impact=0.02,
    deep=Distances(0.0, 1200.0, 0.9, 100_000, 1.5),
    near_sizes=Sizes(12.0, 2.2, 1, 2.0, 0.01, 200_000),
    deep_sizes=Sizes(10.0, 2.4, 1, 1.5, 0.01, 1_000_000),
    take_sizes=Sizes(10.0, 2.2, 1, 1.5, 0.01, 500_000),
    near_orders=1200,
    deep_orders=12_000,
    id_step=12,
    first_update_id=4_800_000_000_000,
    first_trade_id=5_000_000_000,
)
"""Like the BTC-USDT perpetual: a hundred million level changes and more a day."""

PRESETS: dict[str, MarketConfig] = {"btc": BTC, "eth": ETH, "nexo": NEXO, "perp": PERP}
"""Markets by name."""
