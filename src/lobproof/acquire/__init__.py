"""Crypto Lake history in a folder: downloaded, judged, certified, read.

`download`, `validate`, `certify` and `status` do what the commands of these names do (`front`).

The folder and its zones (`zones`), what happened to each object (`manifest`), what a download would
do and its doing (`plan`, `transfer`); how a file is judged (`checks`), what that gives (`audits`)
and where the file goes then (`judging`); what a certificate says, and whether it holds still
(`certificate`, `certificate_status`); what is there (`months`); days as lazy frames (`lake`); what
the vendor's data is like (`facts`). `rows` reads the files for `checks` and `facts`. Not here: how
the bucket is asked (`sources/cryptolake/bucket`), how a file becomes events
(`sources/cryptolake`), and how a day is reconstructed (`pipeline`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lobproof.errors import need_extra

if TYPE_CHECKING:
    from lobproof.acquire.front import Downloaded as Downloaded
    from lobproof.acquire.front import certify as certify
    from lobproof.acquire.front import download as download
    from lobproof.acquire.front import status as status
    from lobproof.acquire.front import validate as validate

__all__ = ["Downloaded", "certify", "download", "status", "validate"]


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'lobproof.acquire' has no attribute {name!r}")
    need_extra("acquire")
    found = getattr(import_module("lobproof.acquire.front"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
