"""Who comes to the market when: clustered arrivals, a wandering value, orders that follow it.

Arrivals are a self-exciting point process (three exponential kernels, Ogata's thinning, O(1) an
event) over a base rate that a three-state regime sets. A *value* wanders with a volatility that
is itself a process; quotes stay within ``SLACK`` of it, and takers who see a price beyond it
sweep the book up to it. That makes the touch sticky, one tick wide and jumpy, as venues' are.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record
from lobproof.sources.simulator.layout_kernels import (
    ASK,
    BID,
    BUY,
    DEEP_ASK,
    DEEP_BID,
    DEEP_DISTANCE,
    DEEP_SIZE,
    HEAD,
    JUMP_SIZE,
    LIST,
    MAX_EXPIRED,
    NEAR_ASK,
    NEAR_BID,
    NEAR_DISTANCE,
    NEAR_SIZE,
    PRICE,
    RESERVE,
    SELL,
    TAKE_SIZE,
    THIN,
    TOTAL,
)
from lobproof.sources.simulator.market_kernels import cancel, level_at, order_at, place, take
from lobproof.sources.simulator.random_kernels import (
    below,
    bits32,
    draw,
    exp_minus,
    exponential,
    normal,
    uniform,
)


@kernel
def quantity(state: Record, m: Int64, f: Record, table: int) -> int:
    """An order's size in counts: on the lot but for a rare deep one, often a round one."""
    lot = int(state.lot)
    lots = max(draw(state.random, m, table), 1)
    if uniform(state.random) < f.round_share:
        unit = 1
        while unit * 10 <= lots:
            unit *= 10
        lots = lots // unit * unit
    size = lots * lot
    share = f.off_lot_share
    if table == DEEP_SIZE and share > 0.0 and lot > 1 and uniform(state.random) < share:
        size += 1 + below(state.random, lot - 1)
    return size


@kernel
def rest(state: Record, m: Int64, f: Record, ts: int, side: int, deep: int) -> None:
    """Place a limit order behind or at the touch; none when its price would leave the ring."""
    tick = int(state.tick)
    best_bid, best_ask = int(state.ring.best_bid), int(state.ring.best_ask)
    distance = draw(state.random, m, DEEP_DISTANCE if deep else NEAR_DISTANCE) * tick
    if not deep and best_ask - best_bid > tick and uniform(state.random) < f.close_share:
        distance = 0
    value = f.value
    if side == BID:
        price = int(value + f.slack)
        if best_ask:
            price = min(price, best_ask - 1)
        if deep and best_bid:
            price = min(price, best_bid - tick)
        price = price // tick * tick - distance
    else:
        price = int(value - f.slack) + 1
        price = max(price, best_bid + 1)
        if deep and best_ask:
            price = max(price, best_ask + tick)
        price = -(-price // tick) * tick + distance
    if deep and uniform(state.random) < f.nice_price_share:
        # people like round prices: the coarser the further away
        unit = tick * 10
        while unit * 20 <= distance:
            unit *= 10
        price = price // unit * unit if side == BID else -(-price // unit) * unit
    floor = int(state.ring.floor)
    if price < max(tick, floor) or price > floor + state.ring.mask:
        return
    size = quantity(state, m, f, DEEP_SIZE if deep else NEAR_SIZE)
    place(state, m, ts, side, price, size, 2 * deep + side - 1)


@kernel
def withdraw(state: Record, m: Int64, f: Record, ts: int, first: int) -> None:
    """Cancel an order of the lists ``first`` (bids) and ``first + 1`` (asks).

    Of the near orders the worst placed of three goes: that keeps them behind the value.
    """
    bids, asks = int(state.live[first]), int(state.live[first + 1])
    value = f.value
    tries = 3 if first == NEAR_BID else 1
    chosen, worst = 0, -1.0
    for _ in range(tries):
        at = below(state.random, bids + asks)
        if at < bids:
            order = int(m[state.lists_at + first * state.capacity + at])
        else:
            order = int(m[state.lists_at + (first + 1) * state.capacity + at - bids])
        away = value - m[order_at(order) + PRICE]
        if m[order_at(order) + LIST] & 1:
            away = -away
        if away < 0.0:  # on the wrong side of the value: the first that its owner pulls back
            away = f.stale_weight * -away
        if away > worst:
            worst = away
            chosen = order
    side = int(m[order_at(chosen) + LIST]) & 1
    if state.live[NEAR_BID + side] + state.live[DEEP_BID + side] > THIN:
        cancel(state, m, ts, chosen)


@kernel
def trade(state: Record, m: Int64, f: Record, ts: int) -> None:
    """A taker's order: informed when the value lies beyond the touch, else in the last's steps."""
    best_bid, best_ask = int(state.ring.best_bid), int(state.ring.best_ask)
    value, slack = f.value, f.slack
    size = quantity(state, m, f, TAKE_SIZE)
    informed = True
    if best_ask and value > best_ask + slack:
        taker = BUY
    elif value < best_bid - slack:
        taker = SELL
    else:
        informed = False
        taker = int(state.sign)
        if uniform(state.random) > f.sign_keep:
            taker = BUY + SELL - taker
        state.sign = taker
    side = ASK if taker == BUY else BID
    spare = int(state.live[NEAR_BID + side - 1] + state.live[DEEP_BID + side - 1]) - THIN
    if spare <= 0:
        return
    best = best_ask if taker == BUY else best_bid
    direction = 1 if taker == BUY else -1
    limit = best
    if informed:
        # what stands in the way, up to the value
        limit = int(value)
        wanted = int(f.sweep * m[level_at(state, best) + TOTAL])
        size = max(size, wanted // int(state.lot) * int(state.lot))
    elif uniform(state.random) < f.walk_share:
        limit = best + direction * int(slack)
    filled = take(state, m, ts, taker, size, limit, spare)
    if not informed:
        f.value += direction * slack * f.impact * (filled / (filled + f.impact_size))


@kernel
def act(state: Record, m: Int64, f: Record, ts: int) -> float:
    """One arrival, of a kind drawn by weight; returns how strongly it excites others."""
    value, slack = f.value, f.slack
    near = state.live[NEAR_BID] + state.live[NEAR_ASK]
    deep = state.live[DEEP_BID] + state.live[DEEP_ASK]
    beyond = max(value - slack - state.ring.best_ask, state.ring.best_bid - slack - value)
    take_weight = f.take_share
    if beyond > 0.0 and state.ring.best_ask > 0:
        take_weight *= 1.0 + f.pull * min(beyond / slack, 3.0)
    near_cancel = f.near_add * near / f.near_target
    deep_cancel = f.deep_add * deep / f.deep_target
    adds = f.near_add + f.deep_add
    at = uniform(state.random) * (take_weight + adds + near_cancel + deep_cancel) - take_weight
    if at < 0.0:
        trade(state, m, f, ts)
        return float(f.take_weight)
    if at < adds:
        side = BID if bits32(state.random) & 1 else ASK
        rest(state, m, f, ts, side, 0 if at < f.near_add else 1)
    else:
        withdraw(state, m, f, ts, NEAR_BID if at < adds + near_cancel else DEEP_BID)
    return float(f.rest_weight)


@kernel
def schedule(state: Record, m: Int64, f: Record, ts: int) -> None:
    """Draw the next candidate arrival with the present intensity, which can only decay until it."""
    bound = min(f.base_rate + f.mid + f.slow + f.fast, f.rate_limit)
    f.bound = bound
    state.next_order = ts + 1 + int(exponential(state.random) / bound * 1e9)


@kernel
def arrive(state: Record, m: Int64, f: Record) -> None:
    """Accept or reject the candidate arrival; when accepted, let it happen and excite."""
    ts = int(state.next_order)
    fast = f.fast * exp_minus((ts - state.last_order) * 1e-9 / f.fast_seconds)
    state.last_order = ts
    f.fast = fast
    rate = f.base_rate + f.mid + f.slow + fast
    if uniform(state.random) * f.bound < rate:
        weight = act(state, m, f, ts)
        f.fast += weight * f.excite_fast
        f.mid += weight * f.excite_mid
        f.slow += weight * f.excite_slow
    schedule(state, m, f, ts)


@kernel
def expire(state: Record, m: Int64, f: Record, ts: int) -> None:
    """Move the ring after the market; orders at the edge that it leaves are cancelled.

    It stops at the best prices: no side is emptied, and none is left without the other.
    """
    width = int(state.ring.mask) + 1
    floor = int(state.ring.floor)
    best_bid, best_ask = int(state.ring.best_bid), int(state.ring.best_ask)
    off = (best_bid + best_ask) // 2 - floor - width // 2
    if abs(off) <= width // 32 or best_bid == 0 or best_ask == 0:
        return
    expired = 0
    for _ in range(min(8192, abs(off))):
        edge = floor if off > 0 else floor + width - 1
        if edge in (best_bid, best_ask):
            break
        level = level_at(state, edge)
        while m[level + HEAD] and expired < MAX_EXPIRED:
            cancel(state, m, ts, int(m[level + HEAD]))
            expired += 1
        if m[level + HEAD]:
            break
        floor += 1 if off > 0 else -1
        state.ring.floor = floor


@kernel
def beat(state: Record, m: Int64, f: Record) -> None:
    """One beat of the clock: value, volatility, regime, slow excitations, tick rule, ring."""
    ts = int(state.next_clock)
    state.next_clock = ts + state.beat_ns
    fast = f.fast * exp_minus((ts - state.last_order) * 1e-9 / f.fast_seconds)
    f.fast = fast
    state.last_order = ts
    f.mid *= f.decay_mid
    f.slow *= f.decay_slow
    regime = int(state.regime)
    if uniform(state.random) < f.regime_leave[regime]:
        regime = (regime + 1 + below(state.random, 2)) % 3
        state.regime = regime
    log = f.volatility_log
    log += f.log_noise * normal(state.random) - f.log_revert * log
    f.volatility_log = log
    level = exp_minus(-log) if log <= 0.0 else 1.0 / exp_minus(log)
    f.base_rate = f.rate * f.regime_activity[regime]
    move = f.sigma * f.beat_root * normal(state.random)
    if uniform(state.random) < f.jump_chance:
        jump = draw(state.random, m, JUMP_SIZE) * 1e-3
        f.mid += f.burst * jump
        jump *= f.jump
        move += jump if bits32(state.random) & 1 else -jump
    level *= f.regime_volatility[regime]
    # within the ring, or nobody could quote near it and the ring would never follow
    edge = (state.ring.mask + 1) / 8.0
    value = min(f.value * (1.0 + level * move), state.ring.floor + 7.0 * edge)
    f.value = max(value, state.ring.floor + edge, 64.0 * state.tick)
    if ts >= state.tick_change_at:
        state.tick = state.new_tick
    expire(state, m, f, ts)
    schedule(state, m, f, ts)


@kernel
def run(state: Record, m: Int64, f: Record, until: int) -> bool:
    """Let the market run to ``until`` (inclusive); False when the rows are full before that."""
    full = int(state.rows_limit) - RESERVE
    while state.rows <= full:
        if state.next_order < state.next_clock:
            if state.next_order > until:
                state.now = until
                return True
            arrive(state, m, f)
        else:
            if state.next_clock > until:
                state.now = until
                return True
            beat(state, m, f)
    return False
