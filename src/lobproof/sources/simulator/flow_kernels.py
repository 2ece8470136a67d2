"""Who comes to the market when: clustered arrivals, a wandering value, orders that follow it.

Arrivals are a self-exciting point process (three exponential kernels, Ogata's thinning, O(1) an
event) over a base rate that a three-state regime sets. A *value* wanders with a volatility that
is itself a process; quotes stay within ``SLACK`` of it, and takers who see a price beyond it
sweep the book up to it. That makes the touch sticky, one tick wide and jumpy, as venues' are.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.sources.simulator.layout_kernels import (
    ASK,
    BASE,
    BEAT_NS,
    BEAT_ROOT,
    BEST_ASK,
    BEST_BID,
    BID,
    BOUND,
    BURST,
    BUY,
    CAPACITY,
    CLOSE_SHARE,
    DECAY_MID,
    DECAY_SLOW,
    DEEP_ADD,
    DEEP_ASK,
    DEEP_BID,
    DEEP_DISTANCE,
    DEEP_SIZE,
    DEEP_TARGET,
    EXCITE_FAST,
    EXCITE_MID,
    EXCITE_SLOW,
    FAST,
    FAST_SECONDS,
    FLOOR,
    HEAD,
    IMPACT,
    IMPACT_SIZE,
    JUMP,
    JUMP_CHANCE,
    JUMP_SIZE,
    LAST_ORDER,
    LIST,
    LISTS_AT,
    LIVE,
    LOG_NOISE,
    LOG_REVERT,
    LOT,
    MASK,
    MAX_EXPIRED,
    MID,
    NEAR_ADD,
    NEAR_ASK,
    NEAR_BID,
    NEAR_DISTANCE,
    NEAR_SIZE,
    NEAR_TARGET,
    NEW_TICK,
    NEXT_CLOCK,
    NEXT_ORDER,
    NICE_PRICE_SHARE,
    NOW,
    OFF_LOT_SHARE,
    PRICE,
    PULL,
    RATE,
    RATE_LIMIT,
    REGIME,
    REGIME_ACTIVITY,
    REGIME_LEAVE,
    REGIME_VOLATILITY,
    RESERVE,
    REST_WEIGHT,
    ROUND_SHARE,
    ROWS,
    ROWS_LIMIT,
    SELL,
    SIGMA,
    SIGN,
    SIGN_KEEP,
    SLACK,
    SLOW,
    STALE_WEIGHT,
    SWEEP,
    TAKE,
    TAKE_SIZE,
    TAKE_WEIGHT,
    THIN,
    TICK,
    TICK_CHANGE_AT,
    TOTAL,
    VALUE,
    VOLATILITY_LOG,
    WALK_SHARE,
    Float64,
    Int64,
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
def quantity(m: Int64, f: Float64, table: int) -> int:
    """An order's size in counts: on the lot but for a rare deep one, often a round one."""
    lot = int(m[LOT])
    lots = max(draw(m, table), 1)
    if uniform(m) < f[ROUND_SHARE]:
        unit = 1
        while unit * 10 <= lots:
            unit *= 10
        lots = lots // unit * unit
    size = lots * lot
    share = f[OFF_LOT_SHARE]
    if table == DEEP_SIZE and share > 0.0 and lot > 1 and uniform(m) < share:
        size += 1 + below(m, lot - 1)
    return size


@kernel
def rest(m: Int64, f: Float64, ts: int, side: int, deep: int) -> None:
    """Place a limit order behind or at the touch; none when its price would leave the ring."""
    tick = int(m[TICK])
    best_bid, best_ask = int(m[BEST_BID]), int(m[BEST_ASK])
    distance = draw(m, DEEP_DISTANCE if deep else NEAR_DISTANCE) * tick
    if not deep and best_ask - best_bid > tick and uniform(m) < f[CLOSE_SHARE]:
        distance = 0
    value = f[VALUE]
    if side == BID:
        price = int(value + f[SLACK])
        if best_ask:
            price = min(price, best_ask - 1)
        if deep and best_bid:
            price = min(price, best_bid - tick)
        price = price // tick * tick - distance
    else:
        price = int(value - f[SLACK]) + 1
        price = max(price, best_bid + 1)
        if deep and best_ask:
            price = max(price, best_ask + tick)
        price = -(-price // tick) * tick + distance
    if deep and uniform(m) < f[NICE_PRICE_SHARE]:
        # people like round prices: the coarser the further away
        unit = tick * 10
        while unit * 20 <= distance:
            unit *= 10
        price = price // unit * unit if side == BID else -(-price // unit) * unit
    floor = int(m[FLOOR])
    if price < max(tick, floor) or price > floor + m[MASK]:
        return
    size = quantity(m, f, DEEP_SIZE if deep else NEAR_SIZE)
    place(m, ts, side, price, size, 2 * deep + side - 1)


@kernel
def withdraw(m: Int64, f: Float64, ts: int, first: int) -> None:
    """Cancel an order of the lists ``first`` (bids) and ``first + 1`` (asks).

    Of the near orders the worst placed of three goes: that keeps them behind the value.
    """
    bids, asks = int(m[LIVE + first]), int(m[LIVE + first + 1])
    value = f[VALUE]
    tries = 3 if first == NEAR_BID else 1
    chosen, worst = 0, -1.0
    for _ in range(tries):
        at = below(m, bids + asks)
        if at < bids:
            order = int(m[m[LISTS_AT] + first * m[CAPACITY] + at])
        else:
            order = int(m[m[LISTS_AT] + (first + 1) * m[CAPACITY] + at - bids])
        away = value - m[order_at(order) + PRICE]
        if m[order_at(order) + LIST] & 1:
            away = -away
        if away < 0.0:  # on the wrong side of the value: the first that its owner pulls back
            away = f[STALE_WEIGHT] * -away
        if away > worst:
            worst = away
            chosen = order
    side = int(m[order_at(chosen) + LIST]) & 1
    if m[LIVE + NEAR_BID + side] + m[LIVE + DEEP_BID + side] > THIN:
        cancel(m, ts, chosen)


@kernel
def trade(m: Int64, f: Float64, ts: int) -> None:
    """A taker's order: informed when the value lies beyond the touch, else in the last's steps."""
    best_bid, best_ask = int(m[BEST_BID]), int(m[BEST_ASK])
    value, slack = f[VALUE], f[SLACK]
    size = quantity(m, f, TAKE_SIZE)
    informed = True
    if best_ask and value > best_ask + slack:
        taker = BUY
    elif value < best_bid - slack:
        taker = SELL
    else:
        informed = False
        taker = int(m[SIGN])
        if uniform(m) > f[SIGN_KEEP]:
            taker = BUY + SELL - taker
        m[SIGN] = taker
    side = ASK if taker == BUY else BID
    spare = int(m[LIVE + NEAR_BID + side - 1] + m[LIVE + DEEP_BID + side - 1]) - THIN
    if spare <= 0:
        return
    best = best_ask if taker == BUY else best_bid
    direction = 1 if taker == BUY else -1
    limit = best
    if informed:
        # what stands in the way, up to the value
        limit = int(value)
        wanted = int(f[SWEEP] * m[level_at(m, best) + TOTAL])
        size = max(size, wanted // int(m[LOT]) * int(m[LOT]))
    elif uniform(m) < f[WALK_SHARE]:
        limit = best + direction * int(slack)
    filled = take(m, ts, taker, size, limit, spare)
    if not informed:
        f[VALUE] += direction * slack * f[IMPACT] * (filled / (filled + f[IMPACT_SIZE]))


@kernel
def act(m: Int64, f: Float64, ts: int) -> float:
    """One arrival, of a kind drawn by weight; returns how strongly it excites others."""
    value, slack = f[VALUE], f[SLACK]
    near = m[LIVE + NEAR_BID] + m[LIVE + NEAR_ASK]
    deep = m[LIVE + DEEP_BID] + m[LIVE + DEEP_ASK]
    beyond = max(value - slack - m[BEST_ASK], m[BEST_BID] - slack - value)
    take_weight = f[TAKE]
    if beyond > 0.0 and m[BEST_ASK] > 0:
        take_weight *= 1.0 + f[PULL] * min(beyond / slack, 3.0)
    near_cancel = f[NEAR_ADD] * near / f[NEAR_TARGET]
    deep_cancel = f[DEEP_ADD] * deep / f[DEEP_TARGET]
    adds = f[NEAR_ADD] + f[DEEP_ADD]
    at = uniform(m) * (take_weight + adds + near_cancel + deep_cancel) - take_weight
    if at < 0.0:
        trade(m, f, ts)
        return float(f[TAKE_WEIGHT])
    if at < adds:
        side = BID if bits32(m) & 1 else ASK
        rest(m, f, ts, side, 0 if at < f[NEAR_ADD] else 1)
    else:
        withdraw(m, f, ts, NEAR_BID if at < adds + near_cancel else DEEP_BID)
    return float(f[REST_WEIGHT])


@kernel
def schedule(m: Int64, f: Float64, ts: int) -> None:
    """Draw the next candidate arrival with the present intensity, which can only decay until it."""
    bound = min(f[BASE] + f[MID] + f[SLOW] + f[FAST], f[RATE_LIMIT])
    f[BOUND] = bound
    m[NEXT_ORDER] = ts + 1 + int(exponential(m) / bound * 1e9)


@kernel
def arrive(m: Int64, f: Float64) -> None:
    """Accept or reject the candidate arrival; when accepted, let it happen and excite."""
    ts = int(m[NEXT_ORDER])
    fast = f[FAST] * exp_minus((ts - m[LAST_ORDER]) * 1e-9 / f[FAST_SECONDS])
    m[LAST_ORDER] = ts
    f[FAST] = fast
    rate = f[BASE] + f[MID] + f[SLOW] + fast
    if uniform(m) * f[BOUND] < rate:
        weight = act(m, f, ts)
        f[FAST] += weight * f[EXCITE_FAST]
        f[MID] += weight * f[EXCITE_MID]
        f[SLOW] += weight * f[EXCITE_SLOW]
    schedule(m, f, ts)


@kernel
def expire(m: Int64, f: Float64, ts: int) -> None:
    """Move the ring after the market; orders at the edge that it leaves are cancelled.

    It stops at the best prices: no side is emptied, and none is left without the other.
    """
    width = int(m[MASK]) + 1
    floor = int(m[FLOOR])
    best_bid, best_ask = int(m[BEST_BID]), int(m[BEST_ASK])
    off = (best_bid + best_ask) // 2 - floor - width // 2
    if abs(off) <= width // 32 or best_bid == 0 or best_ask == 0:
        return
    expired = 0
    for _ in range(min(8192, abs(off))):
        edge = floor if off > 0 else floor + width - 1
        if edge in (best_bid, best_ask):
            break
        level = level_at(m, edge)
        while m[level + HEAD] and expired < MAX_EXPIRED:
            cancel(m, ts, int(m[level + HEAD]))
            expired += 1
        if m[level + HEAD]:
            break
        floor += 1 if off > 0 else -1
        m[FLOOR] = floor


@kernel
def beat(m: Int64, f: Float64) -> None:
    """One beat of the clock: value, volatility, regime, slow excitations, tick rule, ring."""
    ts = int(m[NEXT_CLOCK])
    m[NEXT_CLOCK] = ts + m[BEAT_NS]
    fast = f[FAST] * exp_minus((ts - m[LAST_ORDER]) * 1e-9 / f[FAST_SECONDS])
    f[FAST] = fast
    m[LAST_ORDER] = ts
    f[MID] *= f[DECAY_MID]
    f[SLOW] *= f[DECAY_SLOW]
    regime = int(m[REGIME])
    if uniform(m) < f[REGIME_LEAVE + regime]:
        regime = (regime + 1 + below(m, 2)) % 3
        m[REGIME] = regime
    log = f[VOLATILITY_LOG]
    log += f[LOG_NOISE] * normal(m) - f[LOG_REVERT] * log
    f[VOLATILITY_LOG] = log
    level = exp_minus(-log) if log <= 0.0 else 1.0 / exp_minus(log)
    f[BASE] = f[RATE] * f[REGIME_ACTIVITY + regime]
    move = f[SIGMA] * f[BEAT_ROOT] * normal(m)
    if uniform(m) < f[JUMP_CHANCE]:
        jump = draw(m, JUMP_SIZE) * 1e-3
        f[MID] += f[BURST] * jump
        jump *= f[JUMP]
        move += jump if bits32(m) & 1 else -jump
    level *= f[REGIME_VOLATILITY + regime]
    # within the ring, or nobody could quote near it and the ring would never follow
    edge = (m[MASK] + 1) / 8.0
    value = min(f[VALUE] * (1.0 + level * move), m[FLOOR] + 7.0 * edge)
    f[VALUE] = max(value, m[FLOOR] + edge, 64.0 * m[TICK])
    if ts >= m[TICK_CHANGE_AT]:
        m[TICK] = m[NEW_TICK]
    expire(m, f, ts)
    schedule(m, f, ts)


@kernel
def run(m: Int64, f: Float64, until: int) -> bool:
    """Let the market run to ``until`` (inclusive); False when the rows are full before that."""
    full = int(m[ROWS_LIMIT]) - RESERVE
    while m[ROWS] <= full:
        if m[NEXT_ORDER] < m[NEXT_CLOCK]:
            if m[NEXT_ORDER] > until:
                m[NOW] = until
                return True
            arrive(m, f)
        else:
            if m[NEXT_CLOCK] > until:
                m[NOW] = until
                return True
            beat(m, f)
    return False
