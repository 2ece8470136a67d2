"""What is special to Binance's markets."""

from __future__ import annotations

from lobproof.schema import Order

_SPOT = Order("E", "book")
_MATCHED = Order("T", "trade")
_FUTURES = ("BINANCE_FUTURES", "BINANCE_DELIVERY")


def order_of(exchange: str) -> Order:
    """The order of an exchange's two streams, as measured on recordings.

    On spot a depth message has only the time at which it was sent, and one at E = T almost never
    reflects that trade. On futures it has the time of matching, too: a trade belongs with the
    message of its own T, up to 60 ms before E there. For any other exchange spot's is assumed.
    """
    return _MATCHED if exchange in _FUTURES else _SPOT
