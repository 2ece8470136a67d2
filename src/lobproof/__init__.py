"""lobproof: recorded market data in, order books that can be trusted out.

>>> import lobproof
>>> store = lobproof.open("store")  # doctest: +SKIP
>>> store.book_at("2024-08-09T00:03:00").bids.head()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lobproof import acquire as acquire
    from lobproof.acquire.lake import Lake as Lake
    from lobproof.acquire.lake import lake as lake
    from lobproof.book import OrderBook as OrderBook
    from lobproof.errors import LobproofError as LobproofError
    from lobproof.errors import UsageError as UsageError
    from lobproof.fidelity.exact.report import VerifyReport as VerifyReport
    from lobproof.fidelity.exact.verify import verify as verify
    from lobproof.instruments import Instrument as Instrument
    from lobproof.pages import report as report
    from lobproof.pipeline import Reconstruction as Reconstruction
    from lobproof.pipeline import ReconstructOptions as ReconstructOptions
    from lobproof.pipeline import reconstruct as reconstruct
    from lobproof.schema import EventBatch as EventBatch
    from lobproof.sources.golden import GoldenSample as GoldenSample
    from lobproof.sources.recordings.importer import import_recordings as import_recordings
    from lobproof.sources.simulator import simulate as simulate
    from lobproof.store import BookView as BookView
    from lobproof.store import Message as Message
    from lobproof.store import Store as Store
    from lobproof.store import open_store as open
    from lobproof.store.views import Numbers as Numbers
    from lobproof.timespan import Time as Time

__version__ = "0.1.0"

_HOME = {
    "BookView": ("lobproof.store", "BookView"),
    "EventBatch": ("lobproof.schema", "EventBatch"),
    "GoldenSample": ("lobproof.sources.golden", "GoldenSample"),
    "Instrument": ("lobproof.instruments", "Instrument"),
    "Lake": ("lobproof.acquire.lake", "Lake"),
    "LobproofError": ("lobproof.errors", "LobproofError"),
    "Message": ("lobproof.store", "Message"),
    "Numbers": ("lobproof.store.views", "Numbers"),
    "OrderBook": ("lobproof.book", "OrderBook"),
    "ReconstructOptions": ("lobproof.pipeline", "ReconstructOptions"),
    "Reconstruction": ("lobproof.pipeline", "Reconstruction"),
    "Store": ("lobproof.store", "Store"),
    "Time": ("lobproof.timespan", "Time"),
    "UsageError": ("lobproof.errors", "UsageError"),
    "VerifyReport": ("lobproof.fidelity.exact", "VerifyReport"),
    "lake": ("lobproof.acquire.lake", "lake"),
    "import_recordings": ("lobproof.sources.recordings.importer", "import_recordings"),
    "open": ("lobproof.store", "open_store"),
    "reconstruct": ("lobproof.pipeline", "reconstruct"),
    "report": ("lobproof.pages", "report"),
    "simulate": ("lobproof.sources.simulator", "simulate"),
    "verify": ("lobproof.fidelity.exact", "verify"),
}

__all__ = [
    "BookView",
    "EventBatch",
    "GoldenSample",
    "Instrument",
    "Lake",
    "LobproofError",
    "Message",
    "Numbers",
    "OrderBook",
    "ReconstructOptions",
    "Reconstruction",
    "Store",
    "Time",
    "UsageError",
    "VerifyReport",
    "__version__",
    "acquire",
    "import_recordings",
    "lake",
    "open",
    "reconstruct",
    "report",
    "simulate",
    "verify",
]


if not TYPE_CHECKING:  # which would take every name for one that there is

    def __getattr__(name: str) -> object:
        """Load a public name when it is first asked for: importing lobproof stays instant."""
        if name == "acquire":
            return import_module("lobproof.acquire")
        if name not in _HOME:
            raise AttributeError(f"module 'lobproof' has no attribute {name!r}")
        module, attribute = _HOME[name]
        found = getattr(import_module(module), attribute)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
