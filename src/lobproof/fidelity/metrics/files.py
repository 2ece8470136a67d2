"""Blocks of a sealed day as Parquet files below its store, for `load` and for any reader.

``metrics/exchange=…/symbol=…/dt=…/`` holds four tables. They belong to no Delta table: no seal
names them, and they can be made again of what is sealed (`lobproof.fidelity.metrics.measure`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof import documents
from lobproof.errors import InputError, StoreError
from lobproof.fidelity.metrics.bin_kernels import BINS
from lobproof.fidelity.metrics.blocks import Bins, Blocks, Scale
from lobproof.fidelity.metrics.catalogue import CATALOGUE
from lobproof.fidelity.metrics.metric_kernels import (
    GRID_NS,
    METRICS,
    SERIES,
    SERIES_NAMES,
    SUM_NAMES,
    TALLY_NAMES,
)
from lobproof.files import below, drop_unfinished, make_folder, replacing
from lobproof.instruments import Instrument
from lobproof.parquet import open_parquet, read_footer
from lobproof.schema import Int64
from lobproof.store import Partition
from lobproof.store.hashing import leaf
from lobproof.store.mirror import bring

VERSION = 2
"""Raised whenever the same events would give other blocks."""
FOLDER = "metrics"
TABLES = ("histograms", "moments", "series", "blocks")
"""In the order in which they are written: without the last one nothing is there."""
_KEY = b"lobproof metrics"
_AGAIN = "Delete its folder: the metrics can be measured again from the sealed day."
_NAMES = [one.name for one in CATALOGUE]
_LEAST = np.array([one.edges()[0].tolist() + [0.0] * (BINS - one.bins) for one in CATALOGUE])
_LEAST_OF = np.where(np.isinf(_LEAST), -(2.0**63), _LEAST).astype(np.int64)

Arrays = dict[str, NDArray[Any]]
Column = Callable[[slice], NDArray[Any]]
"""Some of its rows: a whole table of columns would be as large as the blocks once more."""
_PIECE = 1 << 17
"""Rows that are written at a time."""


class _Header(msgspec.Struct):
    """What is read of a file's metadata."""

    version: int
    exchange: str
    symbol: str
    dt: str
    content_hash: str
    instrument: dict[str, Any]
    scale: dict[str, Any]
    metrics_hash: str


def metrics_folder(root: Path, partition: Partition) -> Path:
    """Where the metrics of a day lie, or would."""
    return below(root, f"{FOLDER}/{partition.folder}")


def save(root: Path, partition: Partition, content_hash: str, blocks: Blocks) -> Path:
    """Write the blocks of a sealed day, in place of older ones; the day's lock must be held.

    Parameters
    ----------
    root
        The store.
    content_hash
        Of the day that they were measured of.

    Returns
    -------
    Path
        The folder.
    """
    folder = make_folder(root, f"{FOLDER}/{partition.folder}")
    tables = _tables(blocks)
    header = {
        "version": VERSION,
        **{key: str(value) for key, value in partition.values().items()},
        "content_hash": content_hash,
        "instrument": blocks.instrument.to_dict(),
        "scale": asdict(blocks.scale),
    }
    header["metrics_hash"] = _hash(header, tables)
    document = json.dumps(header).encode()
    _path(folder, TABLES[-1]).unlink(missing_ok=True)
    for name in TABLES:
        path = _path(folder, name)
        drop_unfinished(path)
        with replacing(path) as temporary:
            _write(temporary, tables[name], document)
    return folder


def load(root: Path, partition: Partition, content_hash: str) -> Blocks | None:
    """The blocks of a day with that content; None where none of it, or of this version, are kept.

    Raises
    ------
    StoreError
        If a file is damaged, or another day's.
    PlaceError
        If a file or a folder is a link.
    """
    bring(root, f"{FOLDER}/{partition.folder}", exact=False)
    folder = metrics_folder(root, partition)
    paths = {name: below(folder, _path(folder, name).name) for name in TABLES}
    if not paths[TABLES[-1]].exists():
        return None
    headers = {name: _header(path, partition) for name, path in paths.items()}
    header = headers[TABLES[-1]]
    if (header.version, header.content_hash) != (VERSION, content_hash):
        return None
    for name, found in headers.items():
        if found != header:
            raise _damaged(paths[name], "it belongs to another measurement")
    tables = {name: _read(path, name) for name, path in paths.items()}
    plain = {key: value for key, value in asdict_of(header).items() if key != "metrics_hash"}
    if (
        _hash(plain, {name: _Table.of(columns) for name, columns in tables.items()})
        != header.metrics_hash
    ):
        raise _damaged(folder, "the content is not what was written")
    try:
        return _blocks(header, tables)
    except (ValueError, TypeError, IndexError, InputError) as error:
        raise _damaged(folder, str(error)) from error


def asdict_of(header: _Header) -> dict[str, Any]:
    """The header as it was written."""
    return {name: getattr(header, name) for name in header.__struct_fields__}


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {why}", hint=_AGAIN)


class _Table(NamedTuple):
    """The columns of a table of so many rows, which are made as they are asked for."""

    rows: int
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, columns: Arrays) -> Self:
        """Of columns that are there."""
        rows = len(next(iter(columns.values())))
        return cls(rows, {name: column.__getitem__ for name, column in columns.items()})


def _tables(blocks: Blocks) -> dict[str, _Table]:
    """The columns of each table; ``metric`` by its number."""
    bins, start = blocks.bins, blocks.start
    cells = blocks.series.shape[1]

    def of(rows: slice, parts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The block of each of these rows, and which of so many parts of it."""
        return np.divmod(np.arange(rows.start, rows.stop), parts)

    def metric(rows: slice) -> NDArray[np.int8]:
        return of(rows, METRICS)[1].astype(np.int8)

    def time(rows: slice) -> Int64:
        block, cell = of(rows, cells)
        return np.asarray(start[block] + GRID_NS * cell)

    return {
        "histograms": _Table(
            len(bins.metric),
            {
                "metric": lambda rows: bins.metric[rows],
                "start": lambda rows: start[bins.block[rows]],
                "bin": lambda rows: bins.bin[rows],
                "least": lambda rows: _LEAST_OF[bins.metric[rows], bins.bin[rows]],
                "count": lambda rows: bins.count[rows],
            },
        ),
        "moments": _Table(
            METRICS * len(blocks),
            {
                "metric": metric,
                "start": lambda rows: start[of(rows, METRICS)[0]],
                **_split(blocks.sums, SUM_NAMES),
            },
        ),
        "series": _Table(
            cells * len(blocks), {"time": time, **_split(blocks.series, SERIES_NAMES)}
        ),
        "blocks": _Table(
            len(blocks),
            {"start": lambda rows: start[rows], **_split(blocks.tallies, TALLY_NAMES)},
        ),
    }


def _split(values: Int64, names: tuple[str, ...]) -> dict[str, Column]:
    rows = values.reshape(-1, len(names))
    return {name: rows[:, at].__getitem__ for at, name in enumerate(names)}


def _hash(header: Mapping[str, Any], tables: Mapping[str, _Table]) -> str:
    """SHA-256 over header, names and columns, in hexadecimal."""
    named = {name: list(table.columns) for name, table in tables.items()}
    told = json.dumps([header, _NAMES, named], sort_keys=True).encode()
    digest = hashlib.sha256(told)
    for name in TABLES:
        for column in tables[name].columns.values():
            digest.update(leaf(column(slice(0, tables[name].rows))))
    return digest.hexdigest()


def _write(path: Path, table: _Table, document: bytes) -> None:
    def piece(first: int) -> pa.RecordBatch:
        rows = slice(first, min(first + _PIECE, table.rows))
        arrays = [
            pa.DictionaryArray.from_arrays(pa.array(of(rows)), _NAMES)
            if name == "metric"
            else pa.array(np.ascontiguousarray(of(rows)))
            for name, of in table.columns.items()
        ]
        return pa.RecordBatch.from_arrays(arrays, names=list(table.columns))

    kinds = piece(0).schema
    schema = pa.schema([field.with_nullable(False) for field in kinds], {_KEY: document})
    packed = [field.name for field in kinds if field.type in (pa.int64(), pa.int32())]
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=["metric"],
        column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
    ) as writer:
        for first in range(0, table.rows, _PIECE):
            writer.write_batch(piece(first).cast(schema), _PIECE)


def _header(path: Path, partition: Partition) -> _Header:
    """The header of a file; StoreError where it is none, or another day's."""
    try:
        told = (read_footer(path).metadata or {})[_KEY]
        header = documents.as_shape(documents.value_of(told), _Header)
    except (OSError, ValueError, KeyError, pa.ArrowException, InputError) as error:
        raise _damaged(path, str(error)) from error
    if Partition(header.exchange, header.symbol, header.dt) != partition:
        raise _damaged(path, f"it is of {header.exchange} {header.symbol} {header.dt}")
    return header


def _read(path: Path, name: str) -> Arrays:
    """The columns of a table."""
    wanted = {key: of(slice(0, 0)).dtype for key, of in _tables(_NOTHING)[name].columns.items()}
    try:
        with open_parquet(path) as file:
            if file.schema_arrow.names != list(wanted):
                raise ValueError(f"its columns are {file.schema_arrow.names}")
            table = file.read().unify_dictionaries()
        found = {}
        for column, kind in wanted.items():
            values = table[column].combine_chunks()
            if column == "metric":
                if not isinstance(values, pa.DictionaryArray):
                    raise ValueError("its metrics have no names")
                numbers = np.array([_NAMES.index(one) for one in values.dictionary.to_pylist()])
                found[column] = numbers[values.indices.to_numpy()].astype(kind)
            else:
                plain = values.to_numpy(zero_copy_only=False)
                found[column] = plain.astype(kind, casting="same_kind", copy=False)
    except (OSError, ValueError, TypeError, IndexError, pa.ArrowException, InputError) as error:
        raise _damaged(path, str(error)) from error
    return found


def _blocks(header: _Header, tables: Mapping[str, Arrays]) -> Blocks:
    """The blocks of tables; ValueError where they do not fit together."""
    scale = Scale(**header.scale)
    starts = tables["blocks"]["start"]
    many, cells = len(starts), scale.block_ns // GRID_NS
    sums, series, tallies = (
        np.stack([tables[table][name] for name in names], axis=1)
        for table, names in (
            ("moments", SUM_NAMES),
            ("series", SERIES_NAMES),
            ("blocks", TALLY_NAMES),
        )
    )
    rows = tables["histograms"]
    block = np.searchsorted(starts, rows["start"])
    if (np.diff(starts) <= 0).any() or not np.isin(rows["start"], starts).all():
        raise ValueError("its blocks are not in order")
    bins = Bins(rows["metric"], block.astype(np.int32), rows["bin"], rows["count"])
    if len(bins.bin) and not 0 <= int(bins.bin.min()) <= int(bins.bin.max()) < BINS:
        raise ValueError("it has bins that are none")
    return Blocks(
        Instrument.from_dict(header.instrument),
        scale,
        starts,
        bins,
        sums.reshape(many, METRICS, len(SUM_NAMES)),
        tallies,
        series.reshape(many, cells, SERIES),
    )


_NONE = np.zeros(0, np.int64)
_NOTHING = Blocks(
    Instrument.given("X", "X", "X", [(0, "1", "1")]),
    Scale("1", "1"),
    _NONE,
    Bins.empty(),
    np.zeros((0, METRICS, len(SUM_NAMES)), np.int64),
    np.zeros((0, len(TALLY_NAMES)), np.int64),
    np.zeros((0, 1, SERIES), np.int64),
)
