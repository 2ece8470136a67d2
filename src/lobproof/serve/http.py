"""The venue's addresses: REST and WebSocket, as one aiohttp application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

from lobproof.fixedpoint import count_to_text
from lobproof.instruments import Instrument
from lobproof.serve.clock import SECOND
from lobproof.serve.exchange import Exchange
from lobproof.serve.masks import MaskedOnly
from lobproof.serve.state import Aggregate
from lobproof.serve.tape import TradeMessage, in_ms, in_us, pair_of
from lobproof.sources.binance.venue import KEY_HEADER, SBE_PATH, TIERS, MarketName
from lobproof.sources.captured import PROVENANCE

_MOST_TRADES = 1000
_CLIENT_BYTES = 1 << 18
_BUSY = "Too much request weight used; current limit is %d request weight per 1 MINUTE."
_BANNED = "Way too much request weight used; IP banned until %d."
_SPOT_DIGITS = 8
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _RefusedError(Exception):
    """What the venue answers instead of what was asked for."""

    def __init__(self, code: int, message: str, *, status: int = 400, retry_after: int = 0) -> None:
        super().__init__(message)
        self.body = {"code": code, "msg": message}
        self.status = status
        self.retry_after = retry_after


def application(exchange: Exchange) -> web.Application:
    """All addresses of the exchange's market."""
    app = web.Application(middlewares=[_marked(exchange)])
    front = _Front(exchange)
    profile = exchange.profile
    for name in front.answers:
        app.router.add_get(f"{profile.rest}/{name}", front.rest)
    tiers = [*([""] if profile.plain else []), *(TIERS if profile.tiered else ())]
    roots = [f"/{tier}" if tier else "" for tier in tiers]
    for root in [*roots, SBE_PATH] if profile.sbe else roots:
        app.router.add_get(f"{root}/ws", front.socket)
        app.router.add_get(f"{root}/ws/{{names:.+}}", front.socket)
        app.router.add_get(f"{root}/stream", front.socket)
    return app


def _marked(exchange: Exchange) -> Any:
    """Every answer says where its data come from, and what weight has been used."""

    @web.middleware
    async def mark(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers[PROVENANCE] = exchange.provenance
            raise
        if not response.prepared:
            response.headers[PROVENANCE] = exchange.provenance
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(exchange.weights.used)
        return response

    return mark


class _Front:
    """Answers requests from what the exchange knows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._profile = exchange.profile
        self.answers: dict[str, Callable[[web.Request], Awaitable[Any]]] = {
            "ping": self._ping,
            "time": self._time,
            "depth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._history,
            "aggTrades": self._aggregates,
            "exchangeInfo": self._exchange_info,
        }
        """Last part of an address → what answers there."""

    # -- sockets

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """A client's connection, until either side ends it."""
        exchange = self._exchange
        path = request.path
        sbe = path.startswith(f"{SBE_PATH}/")
        if sbe and not request.headers.get(KEY_HEADER):
            raise web.HTTPUnauthorized(text="an API key is needed")
        tier = next((name for name in TIERS if path.startswith(f"/{name}/")), "")
        text = request.match_info.get("names", "") or request.query.get("streams", "")
        names = text.split("/")
        if len(names) > self._profile.most_streams:
            raise web.HTTPBadRequest(text="too many streams")
        ws = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_CLIENT_BYTES)
        ws.headers[PROVENANCE] = exchange.provenance
        transport = request.transport
        if transport is not None and ws.can_prepare(request):
            transport.set_protocol(MaskedOnly(request.protocol))
        await ws.prepare(request)
        if transport is None:  # gone already
            return ws
        micro = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        combined = path.endswith("/stream")
        conn = exchange.connect(transport, tier, combined=combined, micro=micro, sbe=sbe)
        for name in names:
            exchange.subscribe(conn, name)
        try:
            async for message in ws:
                if message.type == WSMsgType.PING:
                    exchange.pinged(conn, message.data)
                elif message.type == WSMsgType.PONG:
                    exchange.ponged(conn)
                elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    exchange.heard(conn, message.data)
        finally:
            exchange.forget(conn)
        return ws

    # -- REST

    async def rest(self, request: web.Request) -> web.StreamResponse:
        """One request: weighed, refused where a fault says so, answered."""
        exchange = self._exchange
        exchange.counts["requests"] += 1
        name = request.path.rpartition("/")[2]
        try:
            self._weigh(request, name)
            body = await self.answers[name](request)
        except _RefusedError as error:
            exchange.counts["requests_refused"] += 1
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
            return _json(error.body, error.status, headers)
        return _json(body)

    def _weigh(self, request: web.Request, name: str) -> None:
        exchange, now = self._exchange, self._exchange.clock.now()
        if name == "depth":
            most = self._profile.most_levels
            cost = self._profile.depth_weight(min(_number(request, "limit", 1, most), most))
        else:
            cost = self._profile.weights[name]
        status, wait = exchange.weights.take(cost, now)
        fault = exchange.refusal(request.query.get("symbol", "").upper())
        if fault is not None:
            status, wait = fault.status, fault.retry_after
        if status == 429:
            raise _RefusedError(
                -1003, _BUSY % self._profile.weight, status=status, retry_after=wait
            )
        if status == 418:
            until = (now + wait * SECOND) // 1_000_000
            raise _RefusedError(-1003, _BANNED % until, status=status, retry_after=wait)
        if status != 200:
            raise _RefusedError(
                -1000, "An unknown error occurred while processing the request.",
                status=status, retry_after=wait,
            )  # fmt: skip

    async def _ping(self, request: web.Request) -> Any:
        return {}

    async def _time(self, request: web.Request) -> Any:
        return {"serverTime": self._exchange.clock.now() // 1_000_000}

    async def _depth(self, request: web.Request) -> Any:
        exchange = self._exchange
        symbol = self._symbol(request)
        most = self._profile.most_levels
        limit = _number(request, "limit", 100 if most == 5000 else 500, most)
        book, late = exchange.depth_of(symbol, limit)
        if late:
            await asyncio.sleep(late / exchange.clock.speed / SECOND)
        told: dict[str, Any] = {"lastUpdateId": book.last_id}
        if self._profile.futures:
            told |= {"E": book.event_ms, "T": book.match_ms}
        if self._profile.market == "coinm":
            told |= {"symbol": symbol, "pair": pair_of(symbol)}
        return told | {"bids": book.bids, "asks": book.asks}

    async def _trades(self, request: web.Request) -> Any:
        """The latest."""
        state = self._exchange.symbols[self._symbol(request)]
        found = state.last_trades(_number(request, "limit", 500, _MOST_TRADES))
        return self._told_trades(request, found)

    async def _history(self, request: web.Request) -> Any:
        """Those from an id on; of futures to holders of an API key, which may be any."""
        profile = self._profile
        if profile.history_key and not request.headers.get("X-MBX-APIKEY"):
            raise _RefusedError(-2014, "API-key format invalid.", status=401)
        state = self._exchange.symbols[self._symbol(request)]
        limit = _number(request, "limit", min(500, profile.history_page), profile.history_page)
        return self._told_trades(request, state.last_trades(limit, _optional(request, "fromId")))

    def _told_trades(self, request: web.Request, found: list[TradeMessage]) -> Any:
        unit = request.headers.get("X-MBX-TIME-UNIT", "").upper()
        micro = self._profile.microseconds and unit == "MICROSECOND"
        return [_told(trade, self._profile.market, micro) for trade in found]

    async def _aggregates(self, request: web.Request) -> Any:
        state = self._exchange.symbols[self._symbol(request)]
        found = state.last_aggregates(
            _number(request, "limit", 500, _MOST_TRADES),
            _optional(request, "fromId"),
            _optional(request, "startTime"),
            _optional(request, "endTime"),
        )
        return [_told_aggregate(one, not self._profile.futures) for one in found]

    async def _exchange_info(self, request: web.Request) -> Any:
        exchange = self._exchange
        now = exchange.clock.now()
        symbols = exchange.symbols
        if "symbol" in request.query:
            symbol = self._symbol(request)
            symbols = {symbol: symbols[symbol]}
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._profile.weight,
        }
        return {
            "timezone": "UTC",
            "serverTime": now // 1_000_000,
            "rateLimits": [limit],
            "exchangeFilters": [],
            "symbols": [
                self._told_instrument(state.tape.instrument, now) for state in symbols.values()
            ],
        }

    def _told_instrument(self, instrument: Instrument, now: int) -> dict[str, Any]:
        rule = instrument.rule_at(now)
        spot = not self._profile.futures
        tick = _step(rule.tick, instrument.price_exponent, spot)
        lot = _step(rule.lot, instrument.size_exponent, spot)
        base, _, rest = instrument.symbol.partition("-")
        quote, _, suffix = rest.partition("-")
        told: dict[str, Any] = {"symbol": instrument.venue_symbol}
        if spot:
            told |= {"status": "TRADING", "baseAsset": base, "quoteAsset": quote}
        else:
            kind = "PERPETUAL" if suffix == "PERP" else "CURRENT_QUARTER"
            status = "contractStatus" if self._profile.market == "coinm" else "status"
            told |= {"pair": pair_of(instrument.venue_symbol), "contractType": kind}
            told |= {status: "TRADING", "baseAsset": base, "quoteAsset": quote}
        told["filters"] = [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "0", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "0", "stepSize": lot},
        ]
        return told

    def _symbol(self, request: web.Request) -> str:
        name = request.query.get("symbol", "")
        if not name:
            raise _RefusedError(
                -1102,
                "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
            )
        if name not in self._exchange.symbols:
            raise _RefusedError(-1121, "Invalid symbol.")
        return name


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    """A parameter from 1 on; what is too much is cut to the most."""
    number = _optional(request, name)
    if number is None:
        return default
    if number < 1:
        raise _RefusedError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return min(number, most)


def _optional(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _RefusedError(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)


def _told(trade: TradeMessage, market: MarketName, micro: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": trade.t,
        "price": trade.p,
        "qty": trade.q,
        "time": in_us(trade.T) if micro else in_ms(trade.T),
        "isBuyerMaker": trade.m,
    }
    if market != "coinm":  # whose contracts' size nothing here tells
        told["quoteQty"] = f"{Decimal(trade.p) * Decimal(trade.q):.8f}"
    return {**told, "isBestMatch": True} if market == "spot" else told


def _told_aggregate(one: Aggregate, spot: bool) -> dict[str, Any]:
    told = {
        "a": one.a, "p": one.p, "q": one.q, "f": one.f, "l": one.last, "T": in_ms(one.T),
        "m": one.m,
    }  # fmt: skip
    return {**told, "M": True} if spot else told


def _step(count: int, exponent: int, spot: bool) -> str:
    """A tick or lot as the venue writes it: spot with eight digits."""
    if spot and exponent < _SPOT_DIGITS:
        count, exponent = count * 10 ** (_SPOT_DIGITS - exponent), _SPOT_DIGITS
    text = count_to_text(count, exponent)
    if not spot:
        return text
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits:0<{_SPOT_DIGITS}}"


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
