"""``python -m lobproof.cli.warm``: compiles kernels beside the first command that is run.

A machine that has compiled none needs a minute of one core for the chain of the README. What takes
longest goes first here, while the command compiles what it needs itself; neither compiles what the
other does (see `lobproof.jit`). Behind it comes the chain itself, on a recording of a few lines.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lobproof import pages
from lobproof.errors import ExtraError
from lobproof.fidelity.exact import verify
from lobproof.instruments import Instrument, Rule
from lobproof.jit import cache_folder
from lobproof.pipeline import reconstruct_sample
from lobproof.replay import Replayer
from lobproof.schema import EventBatch, Flag, Kind
from lobproof.sources.recordings.importer import import_recordings
from lobproof.store import open_store

_LINES = b"""\
1767571200000000000 {"lobproof":{"provenance":"synthetic","snapshot_limit":5000},"stream":"\
warmusdt@trade","data":{"e":"trade","E":1767571200000,"s":"WARMUSDT","t":1,"p":"100.1",\
"q":"0.5","T":1767571200000,"m":true}}
1767571200100000000 {"lastUpdateId":10,"bids":[["100.1","5.0"],["100.0","1.0"]],\
"asks":[["100.2","7.0"],["100.3","1.0"]]}
1767571200200000000 {"stream":"warmusdt@depth@100ms","data":{"e":"depthUpdate",\
"E":1767571200200,"s":"WARMUSDT","U":10,"u":12,"b":[["100.1","4.0"]],"a":[["100.4","2.0"]]}}
1767571200300000000 {"stream":"warmusdt@bookTicker","data":{"u":12,"s":"WARMUSDT",\
"b":"100.1","B":"4.0","a":"100.2","A":"7.0"}}
1767571261200000000 {"stream":"warmusdt@trade","data":{"e":"trade","E":1767571261200,\
"s":"WARMUSDT","t":2,"p":"100.2","q":"1.0","T":1767571261200,"m":false}}
1767571261300000000 {"stream":"warmusdt@depth@100ms","data":{"e":"depthUpdate",\
"E":1767571261300,"s":"WARMUSDT","U":13,"u":14,"b":[],"a":[["100.2","6.0"]]}}
"""
_DONE = "compiled"


def beside() -> None:
    """Start it in a process of its own, unless one was begun here, or there is no second core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = os.environ.get("LOBPROOF_COMPILE_BESIDE", "1") != "0"
    if not wanted or (cores or 1) < 2 or (cache_folder() / _DONE).exists():
        return
    with suppress(OSError):  # it only saves time
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-W", "ignore", "-m", "lobproof.cli.warm"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)
            ],
        )


def main() -> None:
    """Compile what import, reconstruct, verify and report need."""
    done = cache_folder() / _DONE
    try:
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch(exist_ok=False)
    except OSError:  # another one has begun, or nothing can be kept
        return
    _replay()
    with TemporaryDirectory(prefix="lobproof-") as folder:
        _chain(Path(folder))


def _replay() -> None:
    """What takes longer than all else together."""
    mark = np.ones(1, np.int64)
    batch = EventBatch(
        ts_order=mark,
        ts_event=mark,
        ts_recv=mark,
        sequence=mark,
        prev_sequence=mark,
        kind=np.full(1, Kind.MARK, np.int8),
        side=np.zeros(1, np.int8),
        price=mark,
        size=mark,
        flags=np.full(1, Flag.LAST, np.int32),
    )
    Replayer(Instrument("BINANCE", "WARM-USDT", "WARMUSDT", 1, 1, (Rule(0, 1, 1),))).process(
        batch, 0
    )


def _chain(folder: Path) -> None:
    recording = folder / "warmusdt_20260105"
    recording.write_bytes(_LINES)
    sample = import_recordings([recording], folder / "golden")
    reconstruct_sample(sample.path, folder / "store")
    store = open_store(folder / "store")
    with suppress(ExtraError):  # without the extra there are no pages
        pages.report(store, folder / "report.html", fresh=True)
    verify(store, sample.path)


if __name__ == "__main__":
    main()
