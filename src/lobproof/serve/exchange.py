"""The venue: one pass over its tapes, fanned out to all connections as its clock goes on."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lobproof.errors import UsageError
from lobproof.serve.clock import NEVER, SECOND, VenueClock
from lobproof.serve.connection import FAILED, GOING_AWAY, POLICY, Connection, Observer, in_unit
from lobproof.serve.encode import sbe_frames, sbe_key
from lobproof.serve.faults import ON_DEPTH_ANSWERS, ON_MESSAGES, Active, Fault, FaultPlan
from lobproof.serve.state import BookCopy, SymbolState, VenueBook
from lobproof.serve.tape import KINDS, SNAPSHOT, Message, Tape, beside_symbol, pair_of
from lobproof.serve.weights import Weights
from lobproof.sources.binance.venue import Profile, data_key

_END = Message(NEVER, "", b"")
_MOST_AT_ONCE = 2_000
"""Messages between two looks at the sockets."""
_TICK_SECONDS = (0.002, 0.05)
_KEEP_EVERY = 10 * SECOND
_MOST_SILENT = 1000
_CLOSINGS = {
    "aged": (GOING_AWAY, "24 hours are over"),
    "unanswered": (POLICY, "no pong"),
    "slow": (POLICY, "too slow"),
    "flooding": (POLICY, "too many messages"),
    "shutdown": (GOING_AWAY, "server shutdown"),
    "end": (GOING_AWAY, "nothing more to serve"),
    "broken": (FAILED, "what is served cannot be read"),
}
"""Why the venue ends a connection → code and reason of the closing frame."""
_METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


class Exchange:
    """A market's venue: connections, subscriptions, faults, and what is true.

    ``end_ns`` is when it stops to serve; by default where the tapes end. ``counts`` says what was
    done; ``fault_counts`` how often each fault happened, and to how many messages, connections or
    answers.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        profile: Profile,
        clock: VenueClock,
        *,
        faults: Sequence[Fault] = (),
        seed: int = 7,
        end_ns: int = NEVER,
        observer: Observer | None = None,
    ) -> None:
        names = [tape.symbol for tape in tapes]
        if not names or len(set(names)) < len(names):
            raise UsageError(
                f"these symbols cannot be served together: {', '.join(names) or 'none'}",
                hint="name at least one symbol, and each once",
            )
        if wrong := [tape for tape in tapes if tape.market != profile.market]:
            raise UsageError(
                f"{wrong[0].symbol} is of the market {wrong[0].market}, not of {profile.market}",
                hint="serve one market at a time; leave --market out to serve what is there",
            )
        self.profile = profile
        self.clock = clock
        self.weights = Weights(profile.weight)
        self.symbols = {tape.symbol: SymbolState(tape) for tape in tapes}
        self.provenance = "recorded"
        if any(tape.provenance == "synthetic" for tape in tapes):
            self.provenance = "synthetic"  # what is said of all is the least real of them
        self.counts: Counter[str] = Counter()
        self.fault_counts: dict[str, Counter[str]] = {fault.text: Counter() for fault in faults}
        self.silent: set[str] = set()
        """Streams that were asked for, and of which nothing was or will be sent."""
        self.latest_ns = clock.start_ns
        """Time of the last message that was sent."""
        self._takers = dict(pair for state in self.symbols.values() for pair in state.takers())
        self._observer = observer
        self._plan = FaultPlan(faults, seed, clock.start_ns)
        self._active: list[Active] = []
        self._answers: list[Active] = []
        self._counted_anew = False
        self._earlier: dict[str, tuple[VenueBook, VenueBook]] = {}
        stale = any(fault.kind == "stale" for fault in faults)
        self._keep_due = clock.start_ns if stale else NEVER
        self._connections: dict[int, Connection] = {}
        self._routes: dict[str, list[tuple[str, Connection]]] = {}
        self._end = end_ns
        self._watch_due = clock.start_ns
        self._due = clock.start_ns
        # by time, then by symbol and stream
        self._tape: Iterator[Message] = heapq.merge(*(tape.messages() for tape in tapes))
        self._head = next(self._tape, _END)
        while self._head.ts < clock.start_ns or self._opening:
            self._take(self._head)  # from before the start: known, not sent
            self._head = next(self._tape, _END)

    @property
    def _opening(self) -> bool:
        """Whether the next message is the book that everything begins with."""
        head = self._head
        return head.ts <= self.clock.start_ns and head.key.endswith(f"@{SNAPSHOT}")

    @property
    def connections(self) -> list[Connection]:
        """Those that are open, in the order in which they came."""
        return list(self._connections.values())

    async def run(self) -> None:
        """Serve until there is nothing more; the clock goes on where it has begun."""
        try:
            await self._serve()
        except Exception:
            self.close("broken")
            raise
        self.close()

    async def _serve(self) -> None:
        shortest, longest = _TICK_SECONDS
        while not self._over:
            if not self.clock.begun:
                await asyncio.sleep(longest)
                continue
            now = self.clock.now()
            whole = self._advance(min(now, self._end))
            served = now if whole else self.latest_ns  # who is late has no say in clients' haste
            for conn in self.connections:
                if why := conn.watch(served) if self._watch_due <= served else "":
                    self._close(conn, why)
                elif not conn.flush():
                    self._close(conn, "slow")
            if self._watch_due <= served:
                self._watch_due = served + SECOND
            if not whole:
                self.counts["worst_lag_ms"] = max(
                    self.counts["worst_lag_ms"], (now - self.latest_ns) // 1_000_000
                )
                await asyncio.sleep(0)
                continue
            wait = self.clock.seconds_until(min(self._head.ts, self._due, self._watch_due))
            await asyncio.sleep(min(max(wait, shortest), longest))

    def close(self, why: str = "end") -> None:
        """End all connections: there is nothing more to serve."""
        for conn in self.connections:
            self._close(conn, why)

    # -- connections

    def connect(
        self,
        transport: asyncio.Transport,
        tier: str,
        *,
        combined: bool,
        micro: bool,
        sbe: bool = False,
    ) -> Connection:
        """A new client."""
        self.clock.begin()
        self.counts["connections"] += 1
        conn = Connection(
            self.counts["connections"],
            transport,
            self.profile,
            self.clock.now(),
            tier=tier,
            combined=combined,
            micro=micro,
            sbe=sbe,
        )
        self._connections[conn.number] = conn
        return conn

    def forget(self, conn: Connection) -> None:
        """The client is gone."""
        conn.closed = True
        self._connections.pop(conn.number, None)
        for name in list(conn.names):
            self.unsubscribe(conn, name)

    def subscribe(self, conn: Connection, name: str) -> None:
        """Send a stream from now on; one that is not there, or of another tier, stays silent."""
        if name in conn.names or not name:
            return
        conn.names[name] = None
        key = _key_for(conn, name)
        symbol, _, kind = key.partition("@")
        served = symbol.upper() in self.symbols and symbol.islower() and kind != SNAPSHOT
        served = served and self.profile.carries(conn.tier, name)
        if served:
            self._routes.setdefault(key, []).append((name, conn))
        if not (served and kind in KINDS) and len(self.silent) < _MOST_SILENT:
            self.silent.add(name)

    def unsubscribe(self, conn: Connection, name: str) -> None:
        """Send a stream no more."""
        conn.names.pop(name, None)
        routes = self._routes.get(_key_for(conn, name), [])
        routes[:] = [route for route in routes if route != (name, conn)]

    def heard(self, conn: Connection, text: str | bytes) -> None:
        """The client says something: answer as the venue does."""
        if self._speaks(conn):
            conn.say(json.dumps(self._answer(conn, text), separators=(",", ":")).encode())

    def pinged(self, conn: Connection, data: bytes) -> None:
        """The client pings."""
        if self._speaks(conn):
            conn.pinged(data)

    def ponged(self, conn: Connection) -> None:
        """The client is there."""
        if not conn.ponged(self.clock.now()):
            self._close(conn, "flooding")

    def _speaks(self, conn: Connection) -> bool:
        may = conn.may_speak(self.clock.now())
        if not may:
            self._close(conn, "flooding")
        return may

    def _answer(self, conn: Connection, text: str | bytes) -> dict[str, Any]:
        try:
            request = json.loads(text)
        except (ValueError, RecursionError):
            return {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}
        if not isinstance(request, dict) or "method" not in request:
            return _refused("missing field `method` at line 1 column 2")
        method, number = request["method"], request.get("id")
        parameters = request.get("params", [])
        if isinstance(number, bool) or not isinstance(number, int | str | None):
            return _refused("request ID must be an unsigned integer")
        if not isinstance(parameters, list):
            return _refused("params must be an array", number)
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(conn.names), "id": number}
        if method == "GET_PROPERTY" and parameters == ["combined"]:
            return {"result": conn.combined, "id": number}
        if method == "SET_PROPERTY" and parameters[:1] == ["combined"]:
            if len(parameters) != 2 or not isinstance(parameters[1], bool):
                return {"code": 1, "msg": "Invalid value type: expected Boolean", "id": number}
            conn.combined = parameters[1]
        elif method in ("SET_PROPERTY", "GET_PROPERTY"):
            return {"code": 0, "msg": "Unknown property", "id": number}
        elif method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return _refused(f"unknown variant `{method}`, expected one of {_METHODS}", number)
        elif not all(isinstance(name, str) for name in parameters):
            return _refused("property name must be a string", number)
        elif method == "UNSUBSCRIBE":
            for name in parameters:
                self.unsubscribe(conn, name)
        elif len(conn.names.keys() | set(parameters)) > self.profile.most_streams:
            return _refused("too many parameters", number)
        else:
            for name in parameters:
                self.subscribe(conn, name)
        return {"result": None, "id": number}

    def _close(self, conn: Connection, why: str) -> None:
        code, reason = _CLOSINGS[why]
        self.counts[f"closed_{why}"] += 1
        conn.close(code, reason)
        self.forget(conn)

    # -- what REST asks

    def depth_of(self, symbol: str, limit: int) -> tuple[BookCopy, int]:
        """The book, and how much venue time the answer takes."""
        now = self.clock.now()
        late = 0
        stale = False
        for active in list(self._answers):
            fault = active.fault
            if fault.kind in ON_DEPTH_ANSWERS and fault.symbol in ("", symbol):
                active.use()
                late, stale = (late + fault.by, stale) if fault.kind == "late" else (late, True)
                self._done(now, fault, 0, f"{symbol.lower()}@{SNAPSHOT}")
                if active.over:
                    self._answers.remove(active)
        book = self._earlier[symbol][0] if stale else self.symbols[symbol].book
        return book.copy(limit), late

    def refusal(self, symbol: str) -> Fault | None:
        """The fault that keeps a request from being answered."""
        for active in self._answers:
            if active.fault.kind == "rest" and active.fault.symbol in ("", symbol):
                self._done(self.clock.now(), active.fault, 0, symbol)
                return active.fault
        return None

    # -- time

    @property
    def _over(self) -> bool:
        return self._head is _END or min(self._head.ts - 1, self.clock.now()) >= self._end

    def _advance(self, now: int) -> bool:
        """Send and do all that is due, in order of time; False where more is due than at once."""
        for _ in range(_MOST_AT_ONCE):
            head = self._head
            if head.ts > now:
                break
            if head.ts >= self._due:
                self._happen(head.ts)
            if self._counted_anew:
                symbol = head.key.partition("@")[0].upper()
                head = self.symbols[symbol].numbered(head)
            self._take(head)
            self._deliver(head)
            self.latest_ns = head.ts
            self._head = next(self._tape, _END)
        else:
            return False
        if now >= self._due:
            self._happen(now)
        return True

    def _take(self, message: Message) -> None:
        taker = self._takers.get(message.key)
        if taker is not None:
            taker(message.payload)

    def _happen(self, now: int) -> None:
        """Begin and end faults, keep books: whatever is due by now."""
        while min(self._plan.due, self._ending) <= now:
            if self._ending <= self._plan.due:
                self._expire(self._ending)
            else:
                at, active = self._plan.take()
                self._begin(at, active)
        if self._keep_due <= now:
            for symbol, state in self.symbols.items():
                kept = state.book.clone()
                self._earlier[symbol] = (self._earlier.get(symbol, (kept, kept))[1], kept)
            self._keep_due = now + _KEEP_EVERY
        self._due = min(self._plan.due, self._ending, self._keep_due)

    @property
    def _ending(self) -> int:
        return min((active.until for active in self._active + self._answers), default=NEVER)

    def _begin(self, at: int, active: Active) -> None:
        fault = active.fault
        self.fault_counts[fault.text]["happened"] += 1
        befallen = [conn for conn in self.connections if fault.befalls(conn.number)]
        if fault.kind in ON_MESSAGES:
            self._active.append(active)
        elif fault.kind in ON_DEPTH_ANSWERS or fault.kind == "rest":
            self._answers.append(active)
        elif fault.kind == "reset":
            self._counted_anew = True
            for symbol, state in self.symbols.items():
                if fault.symbol in ("", symbol):
                    state.reset()
                    self._done(at, fault, 0, f"{symbol.lower()}@depth")
        else:
            for conn in befallen:
                self._done(at, fault, conn.number, "")
                if fault.kind == "disconnect":
                    conn.flush()
                    conn.abort()
                    self.forget(conn)
                elif fault.kind == "garbage":
                    for _ in range(fault.n):
                        self._hand(conn, "", b'{"e":"depthUpd')
                elif fault.kind == "shutdown":
                    told = b'{"e":"serverShutdown","E":%d}' % (at // 1_000_000)
                    self._hand(conn, "!serverShutdown", told)
                else:
                    conn.stall(True)
            if fault.kind in ("shutdown", "stall"):
                active.held = befallen
                self._active.append(active)

    def _expire(self, now: int) -> None:
        for active in [one for one in self._active if one.until <= now]:
            self._active.remove(active)
            if active.fault.kind in ("shutdown", "stall"):
                for conn in active.held:
                    if conn.closed:
                        continue
                    if active.fault.kind == "stall":
                        conn.stall(False)
                    else:
                        self._close(conn, "shutdown")
        self._answers = [one for one in self._answers if one.until > now]

    # -- sending

    def _deliver(self, message: Message) -> None:
        routes = self._routes.get(message.key)
        if self._active:
            self._deliver_with_faults(message, routes or [])
        elif routes:
            self._send(message, routes)

    def _send(self, message: Message, routes: Sequence[tuple[str, Connection]]) -> None:
        frames: dict[tuple[str, bool, bool, bool], list[tuple[bytes, bytes]]] = {}
        if self.silent:  # a recording may have streams of which we know nothing
            self.silent.difference_update(name for name, _ in routes)
        spot = not self.profile.futures
        for name, conn in routes:
            form = (name, conn.combined, conn.micro, conn.sbe)
            made = frames.get(form)
            if made is None:
                if conn.sbe:
                    payloads = sbe_frames(message)
                elif spot:
                    payloads = [in_unit(message.payload, conn.micro)]
                else:
                    payloads = [message.payload]
                made = frames[form] = [(conn.form(name, one), one) for one in payloads]
            for data, payload in made:
                conn.put(data)
                if self._observer is not None:
                    self._observer.sent(conn.number, name, payload)
            conn.messages += len(made)
            self.counts["messages"] += len(made)

    def _hand(self, conn: Connection, name: str, payload: bytes) -> None:
        """Hand one connection a message of no tape."""
        if name and not conn.sbe:
            conn.put(conn.form(name, payload))
        else:
            conn.say(payload)
        conn.messages += 1
        self.counts["messages"] += 1
        if self._observer is not None:
            self._observer.sent(conn.number, name, payload)

    def _deliver_with_faults(
        self, message: Message, routes: Sequence[tuple[str, Connection]]
    ) -> None:
        """Send a message as the faults leave it, to each connection as it is befallen."""
        struck: list[tuple[Fault, Message | None]] = []
        for active in list(self._active):
            fault = active.fault
            if fault.kind not in ON_MESSAGES or not fault.concerns(message.key):
                continue
            follower: Message | None = None
            if fault.kind == "reorder":
                if active.held is None:
                    active.held = message
                elif active.held.key != message.key:
                    continue
                else:
                    follower, active.held = active.held, None
                    active.use()
            elif not active.use():
                continue
            struck.append((fault, follower))
            if active.over:
                self._active.remove(active)
        for route in routes:
            sending = [message]
            for fault, follower in struck:
                if not fault.befalls(route[1].number):
                    continue
                if fault.kind != "reorder" or follower is not None:
                    self._done(message.ts, fault, route[1].number, message.key)
                if fault.kind in ("silent", "drop"):
                    sending = []
                elif fault.kind == "double":
                    sending = sending * 2
                elif fault.kind == "merge":
                    sending = [self._merged(one) for one in sending]
                elif follower is None:
                    sending = []
                else:
                    sending = [*sending, follower]
            for one in sending:
                self._send(one, [route])

    def _merged(self, message: Message) -> Message:
        """As since the futures were merged: with ``st`` and ``ps``."""
        symbol = message.key.partition("@")[0].upper()
        fields = f'"st":{2 if self.profile.market == "coinm" else 1}'
        if b'"ps":' not in message.payload:
            fields = f'"ps":"{pair_of(symbol)}",{fields}'
        return message._replace(payload=beside_symbol(message.payload, symbol, fields))

    def _done(self, ts: int, fault: Fault, conn: int, key: str) -> None:
        self.fault_counts[fault.text]["done"] += 1
        if self._observer is not None:
            self._observer.fault(ts, fault.text, conn, key)


def _key_for(conn: Connection, name: str) -> str:
    """The data that a connection means by a stream's name."""
    return sbe_key(name) if conn.sbe else data_key(name)


def _refused(why: str, number: Any = None) -> dict[str, Any]:
    told = {"code": 2, "msg": f"Invalid request: {why}"}
    return told if number is None else {**told, "id": number}
