"""What a table's Delta log would take, looked at before Delta reads it.

Delta makes up to twenty bytes of one of a commit, and of each file that is listed two thousand. It
opens whatever has a name of its own, a pipe too.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.errors import InputError, StoreError
from lobproof.files import below
from lobproof.parquet import read_footer
from lobproof.parquet_pages import DICTIONARY, pages
from lobproof.schema.tables import Table

MAX_COMMITS = 16 << 20
"""Bytes of the commits since the last checkpoint: Delta makes one after each hundred, and a commit
has about two thousand, 650 of each file that it lists."""
MAX_LISTED = 150_000
"""Rows of a checkpoint: each file that a table lists, and each that was removed this week. That is
a file a day of 60 symbols over almost seven years. At the limit a command takes 0.8 GB; what Delta
makes of more is beyond 1 GiB."""
MAX_SAVED = 192 << 20
"""Bytes of a checkpoint's values in memory; of a file that is listed there are about 1,300."""
MAX_ROW = 8 << 10
"""Bytes of a row of it, on average over a few: the longest is the one with the table's schema."""
_NUMBER = 8
"""Bytes that a value is counted as, beside its text."""
_ROWS = 64
_DICTIONARY = 4 << 20
"""Bytes of a dictionary; whoever writes Parquet ends one at 1 MiB."""
_FEW = 1 << 20
_DIGITS = 20
_COMMIT = re.compile(rf"[0-9]{{{_DIGITS}}}\.json")
_SAVED = re.compile(rf"[0-9]{{{_DIGITS}}}\.checkpoint\.parquet")
_READ = re.compile(rf"[0-9]{{{_DIGITS}}}\..*(json|parquet)", re.DOTALL)
"""What Delta may read beside: checkpoints in parts or of its second version, merged commits."""
_TAKE = "It is not what lobproof writes: take the store from where it came from again."
_SMALLER = (
    "If other programs wrote to the store, take it from where it came from again; else keep fewer "
    "symbols and days in one store."
)


def check_log(root: Path, table: Table) -> None:
    """StoreError where a log has what lobproof does not write, or Delta would take too much."""
    sizes = {}
    log = f"{table.name}/_delta_log"
    folder = below(root, log)
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.startswith("."):
                continue
            path = below(root, f"{log}/{entry.name}")
            ours = _COMMIT.fullmatch(entry.name) or _SAVED.fullmatch(entry.name)
            if not entry.is_file() or (_READ.fullmatch(entry.name) and not ours):
                what = "none that lobproof writes" if entry.is_file() else "no plain file"
                raise StoreError(
                    f"{path} is {what}, and a Delta log holds no others.",
                    hint="See what it is, and delete it; or take the store from where it came "
                    "from again.",
                )
            try:
                sizes[entry.name] = entry.stat().st_size
            except FileNotFoundError:
                continue  # another process has just given its commit the right name
    saved = max((name for name in sizes if _SAVED.fullmatch(name)), default="")
    size = sum(sizes[name] for name in sizes if name >= saved[:_DIGITS] and name != saved)
    if size > MAX_COMMITS:
        raise StoreError(
            f"The Delta log of {table.name} in {root} has {size:,} bytes since its last "
            f"checkpoint, more than {MAX_COMMITS:,}.",
            hint=_TAKE,
        )
    if saved:
        path = folder / saved
        try:
            problem = _checkpoint_problem(path, sizes[saved], path.stat().st_mtime_ns)
        except InputError as error:
            raise StoreError(f"{path} cannot be read: {error.message}", hint=_TAKE) from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read: {error}", hint=_TAKE) from error
        if problem:
            raise StoreError(f"{path} {problem}.", hint=_SMALLER)


@lru_cache(maxsize=32)
def _checkpoint_problem(path: Path, size: int, changed: int) -> str:
    """What is wrong with a checkpoint of that size, changed then; empty where nothing is."""
    footer = read_footer(path, text=MAX_ROW)
    if footer.num_rows > MAX_LISTED:
        return f"has {footer.num_rows:,} rows, more than {MAX_LISTED:,}"
    room, repeated = 0, set()
    with path.open("rb") as file:
        for group in range(footer.num_row_groups):
            told = footer.row_group(group)
            for column in map(told.column, range(told.num_columns)):
                found = [*pages(file, column)]
                listed = max((p.inflated for p in found if p.encoding == DICTIONARY), default=0)
                if listed > _DICTIONARY:
                    return f"has a dictionary of {listed:,} bytes, more than {_DICTIONARY:,}"
                values = sum(page.values for page in found)
                room += _NUMBER * values
                # any value may be the longest of the dictionary
                if values * listed > _FEW and column.physical_type == "BYTE_ARRAY":
                    repeated.add(column.path_in_schema)
                else:
                    room += column.total_uncompressed_size + values * listed
    too_much = f"would take more than {MAX_SAVED:,} bytes"
    if room > MAX_SAVED:
        return too_much
    with pq.ParquetFile(path, metadata=footer) as table:
        for batch in table.iter_batches(_ROWS, columns=sorted(repeated)):
            if batch.nbytes > _ROWS * MAX_ROW:
                return f"has rows of more than {MAX_ROW:,} bytes"
            room += batch.nbytes
            if room > MAX_SAVED:
                return too_much
    return ""
