"""Books that ``cryptofeed`` keeps of a local exchange, as lines of JSON.

Runs in an environment of its own, which has cryptofeed: ``python cryptofeed_books.py URL MARKET
BOOKS EVERY``. A line for every so many depth messages: the id, and all levels of both sides.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

_CLIENTS = {"spot": "Binance", "usdm": "BinanceFutures"}
_TIERS = {"spot": "", "usdm": "/public"}


def main() -> None:
    """Listen until so many books have been written."""
    url, market, wanted, every = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    connection = import_module("cryptofeed.connection")
    defines = import_module("cryptofeed.defines")
    client = getattr(import_module("cryptofeed.exchanges"), _CLIENTS[market])
    begin = connection.WSAsyncConn.__init__

    def plain(self: Any, address: str, *rest: Any, **more: Any) -> None:
        """It takes addresses of wss alone, and the local exchange has none."""
        begin(self, address, *rest, **more)
        self.address = address.replace("wss://", "ws://")

    connection.WSAsyncConn.__init__ = plain
    secure = url.replace("http://", "wss://") + _TIERS[market]
    client.websocket_endpoints = [
        connection.WebsocketEndpoint(secure, options={"compression": None})
    ]
    client.rest_endpoints = [connection.RestEndpoint(url, routes=client.rest_endpoints[0].routes)]
    seen = 0

    async def book(found: Any, _: float) -> None:
        nonlocal seen
        seen += 1
        if seen % every:
            return
        sides = {
            name: [[str(price), str(side[price])] for price in side]
            for name, side in (("b", found.book.bids), ("a", found.book.asks))
        }
        print(json.dumps({"u": found.sequence_number, **sides}), flush=True)
        if seen >= wanted * every:
            os._exit(0)  # its handler ends on signals alone

    handler = import_module("cryptofeed").FeedHandler()
    (symbol,) = (name for name in client.symbols() if not name.endswith("PINDEX"))
    handler.add_feed(
        client(symbols=[symbol], channels=[defines.L2_BOOK], callbacks={defines.L2_BOOK: book})
    )
    asyncio.set_event_loop(asyncio.new_event_loop())  # it looks for one that is there
    handler.run()


if __name__ == "__main__":
    main()
