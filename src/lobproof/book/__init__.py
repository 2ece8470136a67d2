"""The order book: kernels, the wrapper for Python, and the plain reference they are held to."""

from lobproof.book.reference import ReferenceBook
from lobproof.book.state import WINDOW_TICKS, OrderBook, Touches, load_book, save_book, side_levels

__all__ = [
    "WINDOW_TICKS",
    "OrderBook",
    "ReferenceBook",
    "Touches",
    "load_book",
    "save_book",
    "side_levels",
]
