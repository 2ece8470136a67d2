"""The order book: kernels of its levels and of what is trusted of them, and a class for Python."""

from lobproof.book.image import BookImage, side_levels
from lobproof.book.state import WINDOW_TICKS, OrderBook, Touches, apply_events, book_of

__all__ = [
    "WINDOW_TICKS",
    "BookImage",
    "OrderBook",
    "Touches",
    "apply_events",
    "book_of",
    "side_levels",
]
