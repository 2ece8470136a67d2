"""The order book: kernels of its levels and of what is trusted of them, and a class for Python."""

from lobproof.book.image import BookImage, side_levels
from lobproof.book.state import WINDOW_TICKS, OrderBook, Touches

__all__ = [
    "WINDOW_TICKS",
    "BookImage",
    "OrderBook",
    "Touches",
    "side_levels",
]
