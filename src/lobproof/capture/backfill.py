"""Trades that no socket brought, asked for by their ids over REST."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lobproof.capture.keys import KEY_VARIABLE
from lobproof.capture.pace import Pace
from lobproof.capture.rest import Answer, RefusedError, Rest, Told
from lobproof.sources.binance.venue import KEY_HEADER, Profile

MOST_TRADES = 100_000
"""Trades of a gap that are asked for: a longer one stays, and a line says so."""
_RECENT = 1000
"""Trades that the venue lists to everybody: the latest."""
_NEEDS_KEY = (
    f"the venue lists old trades to holders of an API key only (set {KEY_VARIABLE}): "
    "the latest are asked for"
)
_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before the venue is asked again for what it did not list yet."""
_SHOWN = 4096


class _Trade(msgspec.Struct):
    id: int


@dataclass(slots=True)
class BackfillFigures:
    """Trades that gaps lost: how many REST was asked for, brought, and will not bring.

    ``refused`` are those of a refusal, those that the venue does not list, those of a gap too long
    to be asked for, and those that had not come as the session ended.
    """

    asked: int = 0
    got: int = 0
    refused: int = 0


def give_up(
    figures: BackfillFigures, told: Told, gap: tuple[int, int], missing: int, why: str
) -> None:
    """Count and tell trades between two ids that REST will not bring."""
    figures.refused += missing
    told("no_backfill", {"after": gap[0], "before": gap[1], "missing": missing, "why": why})


class Backfill:
    """Asks for the trades of one symbol that a gap lost, and hands on each answer.

    Parameters
    ----------
    symbol
        As the venue writes it.
    rest, profile, pace
        Through which, of what market, and how fast its time passes.
    figures
        Counts what becomes of them.
    key
        An API key, for a market that lists old trades to holders of one only; else empty.
    told
        Told of what is not filled, and why.
    take
        Takes an answer, its body, and what was asked for.
    """

    def __init__(
        self,
        symbol: str,
        rest: Rest,
        profile: Profile,
        pace: Pace,
        *,
        figures: BackfillFigures,
        key: str,
        told: Told,
        take: Callable[[Answer, bytes, dict[str, Any]], None],
    ) -> None:
        self._symbol = symbol
        self._rest = rest
        self._profile = profile
        self._figures = figures
        self._pace = pace
        self._told = told
        self._take = take
        self._headers = {"X-MBX-TIME-UNIT": "MICROSECOND"} if profile.microseconds else {}
        self._recent = profile.history_key and not key
        self._said = False
        if profile.history_key and key:
            self._headers[KEY_HEADER] = key

    async def fill(self, after: int, before: int) -> None:
        """Ask for the trades between two ids, both exclusive.

        What did not come is told: too long a gap, a refusal, trades that the venue does not list,
        or the end of the session.
        """
        came: set[int] = set()
        lost = before - after - 1
        why = f"{lost:,} trades are more than the {MOST_TRADES:,} that are asked for"
        try:
            if lost <= MOST_TRADES:
                self._figures.asked += lost
                why = await self._pages(after + 1, before, came)
        except RefusedError as error:
            why = str(error)
        except asyncio.CancelledError:
            why = "the session ended"
            raise
        finally:
            if len(came) < lost:
                give_up(self._figures, self._told, (after, before), lost - len(came), why)

    async def _pages(self, first: int, before: int, came: set[int]) -> str:
        """Ask from id ``first`` on until nothing is left; why there is, where something is."""
        waits = iter(_WAITS_S)
        while first < before:
            answer, asked = await self._ask(first, before - first)
            body = answer.body.strip()
            try:
                ids = [one.id for one in msgspec.json.decode(body, type=list[_Trade])]
            except msgspec.DecodeError as error:
                return f"an answer that is none: {error}: {_shown(body)}"
            if b"\n" in body:
                return f"an answer of several lines: {_shown(body)}"
            self._take(answer, body, asked)
            listed = {one for one in ids if first <= one < before}
            self._figures.got += len(listed - came)
            came |= listed
            if listed:
                first = max(listed) + 1
            elif max(ids, default=0) >= before:
                break  # it knows later ones: these it does not list
            elif (wait := next(waits, None)) is not None:
                await self._pace.sleep(wait)
            else:
                break
        return "the venue does not list them"

    async def _ask(self, first: int, count: int) -> tuple[Answer, dict[str, Any]]:
        """Trades from an id on, or the latest where those are all that we may see."""
        if not self._recent:
            try:
                return await self._get(
                    "historicalTrades",
                    {"fromId": first, "limit": min(count, self._profile.history_page)},
                )
            except RefusedError as error:
                if error.status not in (401, 403) and "-2014" not in str(error):
                    raise
                self._recent = True
        if not self._said:
            self._said = True
            self._told("no_history", {"why": _NEEDS_KEY})
        return await self._get("trades", {"limit": _RECENT})

    async def _get(self, what: str, params: dict[str, int]) -> tuple[Answer, dict[str, Any]]:
        answer = await self._rest.get(
            f"/{what}",
            {"symbol": self._symbol, **params},
            self._profile.weights[what],
            urgency=2,
            headers=self._headers,
        )
        return answer, {"path": f"/{what}", **params}


def _shown(body: bytes) -> str:
    return b64encode(body[:_SHOWN]).decode()
