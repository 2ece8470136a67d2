"""Whatever is changed in a store after it was sealed shows: at the first read, or in `verify`."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from fuzz.documents import Memory
from lobproof.cli.inspect import show_store, store_summary
from lobproof.errors import PlaceError, StoreError, UsageError
from lobproof.fidelity.exact import Verdict, verify
from lobproof.pages.survey import survey
from lobproof.schema.tables import CONTENT_TABLES, DAYS, Table
from lobproof.store import Partition, Store, check_sealed, open_store, sealed
from lobproof.store.catalog import Unsealed, told_unsealed
from lobproof.store.delta import list_exactly
from lobproof.store.parts import METADATA_KEY, Part
from lobproof.store.seal import SealedFile, seal_name
from support.batches import make_day, store_day
from support.commands import FAIL, INCONCLUSIVE, command, refused
from support.market import make_market

DT = "2024-08-08"
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of two days that verifies, and its golden sample."""
    root = tmp_path_factory.mktemp("sealed")
    market = make_market(60)
    first, last = market.rows[40], market.rows[60]
    market.doubt(first, last, 4)
    golden = market.write_golden(root / "golden")
    return market.write_store(root / "store"), golden


@pytest.fixture
def store(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "store"))


def file_of(root: Path, table: str, dt: str = DT) -> Path:
    (path,) = (root / table).rglob(f"dt={dt}/*.parquet")
    return path


def rewrite(path: Path, change: Change, *, footer: bool = True) -> None:
    """Another content under the same name; the footer says the same of itself, or nothing."""
    table = pq.read_table(path, partitioning=None)
    told = pq.read_metadata(path).metadata
    changed = change(table)
    keep = {METADATA_KEY: told[METADATA_KEY]} if footer else None
    pq.write_table(changed.replace_schema_metadata(keep), path, compression="zstd")


def read(store: Store, table: str) -> pl.DataFrame:
    frame: pl.DataFrame = getattr(store, table)().collect()
    return frame


def doubled(table: pa.Table) -> pa.Table:
    sizes = pc.cast(pc.multiply(table["size"].cast(pa.float64()), 2), pa.decimal128(38, 18))
    return table.set_column(table.column_names.index("size"), table.schema.field("size"), sizes)


def swapped(table: pa.Table) -> pa.Table:
    order = [1, 0, *range(2, len(table))]
    return table.take(order)


def emptied(table: pa.Table) -> pa.Table:
    return table.slice(0, 0)


def without_some(table: pa.Table) -> pa.Table:
    return table.filter(pc.less(table["event_id"], 0))


TAMPERED = [
    ("events", doubled),
    ("keyframes", doubled),
    ("events", swapped),
    ("states", swapped),
    ("quality", emptied),
    ("keyframes", without_some),
    ("states", without_some),
]


def test_undisturbed(made: tuple[Path, Path]) -> None:
    root, golden = made
    store = open_store(root)
    assert store.audit(content=False).clean
    assert store.audit().clean
    assert verify(store, golden, untrusted_limit=1).check("schema").verdict == Verdict.EXACT


@pytest.mark.parametrize("footer", [True, False])
@pytest.mark.parametrize(("table", "change"), TAMPERED)
def test_another_content(
    store: Path, made: tuple[Path, Path], table: str, change: Change, footer: bool
) -> None:
    rewrite(file_of(store, table), change, footer=footer)
    opened = open_store(store)
    with pytest.raises(StoreError, match=f"not as it was sealed: {table}/"):
        read(opened, table)
    if table in ("states", "quality"):
        with pytest.raises(StoreError, match="not as it was sealed"):
            opened.trusted()
    if table in ("events", "keyframes", "quality"):
        with pytest.raises(StoreError, match="not as it was sealed"):
            opened.book_at(int(opened.days()["last_ts"][0]))
    fails(store, made[1], table)


def fails(root: Path, golden: Path, table: str) -> None:
    """Plain `verify`, `audit` of the bytes and of the content all say so."""
    report = verify(open_store(root), golden, untrusted_limit=1)
    assert report.verdict == Verdict.FAIL
    assert f"{table}/" in report.check("schema").reason or table in report.check("schema").reason
    for content in (False, True):
        damage = open_store(root).audit(content=content).damage
        assert damage
        assert {each.table for each in damage} == {table}


@pytest.mark.parametrize("table", ["events", "states", "keyframes", "quality"])
def test_bytes_behind_an_intact_footer(store: Path, made: tuple[Path, Path], table: str) -> None:
    """Size and footer as they were: only the bytes tell, and `verify` reads them."""
    path = file_of(store, table)
    place = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[place + 40] ^= 1
    path.write_bytes(data)
    fails(store, made[1], table)


@pytest.mark.parametrize("table", ["events", "states", "keyframes", "quality"])
def test_a_file_that_is_gone(store: Path, made: tuple[Path, Path], table: str) -> None:
    file_of(store, table).unlink()
    with pytest.raises(StoreError, match="does not exist"):
        read(open_store(store), table)
    fails(store, made[1], table)


@pytest.mark.parametrize("table", ["events", "states", "keyframes"])
def test_the_file_of_another_day(store: Path, made: tuple[Path, Path], table: str) -> None:
    """Also one of the same size: the footer holds the leaves of what it is."""
    path, other = file_of(store, table), file_of(store, table, "2024-08-09")
    shutil.copy(other, path)
    with pytest.raises(StoreError, match="sealed"):
        read(open_store(store), table)
    fails(store, made[1], table)


def put(path: Path, kind: str) -> None:
    """Something else in a file's place."""
    whole = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "nothing":
        path.write_bytes(b"" if kind == "empty" else whole[:-5])


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe", "empty", "cut off"])
def test_what_is_there_in_a_files_place_shows_by_its_size(store: Path, kind: str) -> None:
    """A pipe is not waited for, by the audit of the content neither."""
    assert open_store(store).glance() == ()
    put(file_of(store, "states"), kind)
    opened = open_store(store)
    (damage,) = opened.glance()
    assert (damage.partition, damage.table) == (f"BINANCE BTC-USDT {DT}", "states")
    for content in (False, True):
        (found,) = opened.audit(content=content).damage
        assert found.file == damage.file
    with pytest.raises(StoreError, match="not as it was sealed: states/"):
        check_sealed(store, sealed(store))
    said = command("inspect", store)
    assert said.code == FAIL
    assert f"BINANCE BTC-USDT {DT}, states/" in said.out
    assert "lobproof verify" in said.out
    said = command("inspect", store, "--json")
    assert said.code == FAIL
    assert [one["table"] for one in said.document["damage"]] == ["states"]


def test_many_damaged_days_are_told_in_a_few_lines(store: Path, tmp_path: Path) -> None:
    for table in ("events", "states"):
        file_of(store, table).unlink()
        file_of(store, table, "2024-08-09").unlink()
    out = io.StringIO()
    summary = store_summary(open_store(store))
    days = [{**one, "partition": f"day {n}"} for n in range(8) for one in summary["damage"][:2]]
    show_store(Console(file=out, width=500), {**summary, "damage": days})
    shown = [line for line in out.getvalue().splitlines() if "the file does not exist" in line]
    assert len(shown) == 5
    assert all(line.endswith(", and 1 more") for line in shown)
    assert "and 3 more days\n8 days are not as sealed" in out.getvalue()


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe"])
def test_a_day_whose_seal_is_gone_is_told(store: Path, made: tuple[Path, Path], kind: str) -> None:
    """A reader goes on without it."""
    put(file_of(store, DAYS.name), kind)
    opened = open_store(store)
    assert opened.days()["dt"].to_list() == ["2024-08-09"]
    (day,) = opened.unsealed()
    assert day.partition == Partition("BINANCE", "BTC-USDT", DT)
    assert "lists its seal, which is not there" in day.why
    report = opened.audit()
    assert report.clean
    assert report.unsealed == (day,) == opened.audit("BTC-USDT").unsealed
    assert opened.audit(dt="2024-08-09").unsealed == ()
    with pytest.raises(UsageError, match=f"no sealed day {DT}. 1 day is not sealed"):
        opened.audit(dt=DT)
    said = command("inspect", store)
    assert said.code == INCONCLUSIVE
    assert str(day) in " ".join(said.out.split())
    said = command("inspect", store, "--json")
    assert said.code == INCONCLUSIVE
    assert [one["dt"] for one in said.document["unsealed"]] == [DT]
    said = command("verify", store, "--against", made[1])
    assert str(day) in " ".join(said.err.split())


@pytest.mark.parametrize("gone", ["seals", "folder", "log", "table"])
def test_a_store_whose_seals_are_all_gone_says_so(store: Path, gone: str) -> None:
    if gone == "seals":
        for path in (store / "days").rglob("part-*.parquet"):
            path.unlink()
    else:
        folder = {"folder": "days/exchange=BINANCE", "log": "days/_delta_log", "table": "days"}
        shutil.rmtree(store / folder[gone])
    opened = open_store(store)
    assert [day.partition.dt for day in opened.unsealed()] == [DT, "2024-08-09"]
    logged = gone in ("seals", "folder")
    why = "lists its seal, which is not there" if logged else "unfinished or withdrawn run"
    assert all(why in day.why for day in opened.unsealed())
    assert opened.audit().unsealed == opened.unsealed()
    with pytest.raises(UsageError, match=r"no sealed day\. 2 days are not sealed") as caught:
        opened.events()
    assert "lobproof reconstruct" in str(caught.value)
    said = command("inspect", store)
    assert said.code == INCONCLUSIVE
    assert "2 days are not sealed" in said.out
    assert "`lobproof reconstruct` makes a day anew" in said.out
    assert "2 days are not sealed" in refused("no sealed day", "report", store)


def test_of_many_days_without_a_seal_a_few_are_named() -> None:
    days = [Unsealed(Partition("BINANCE", "BTC-USDT", f"2024-08-0{n}"), "why") for n in range(1, 8)]
    told = told_unsealed(days)
    assert told.startswith("7 days are not sealed")
    assert told.count("why") == 5
    assert "; and 2 more." in told
    assert told_unsealed([]) == ""


@pytest.mark.parametrize("table", CONTENT_TABLES, ids=lambda table: table.name)
def test_a_partition_that_is_a_link(store: Path, tmp_path: Path, table: Table) -> None:
    """Also one in which no file is looked for, since the day has none in that table."""
    folder = store / table.name / "exchange=BINANCE/symbol=BTC-USDT" / f"dt={DT}"
    outside = tmp_path / "outside"
    folder.rename(outside) if folder.exists() else outside.mkdir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(outside)
    opened = open_store(store)
    for look in (
        opened.glance,
        opened.audit,
        lambda: opened.audit(content=False),
        lambda: read(opened, table.name),
        lambda: check_sealed(store, sealed(store)),
    ):
        with pytest.raises(PlaceError, match="is a link"):
            look()


@pytest.mark.parametrize("table", CONTENT_TABLES[:4], ids=lambda table: table.name)
def test_a_log_that_is_gone(store: Path, table: Table) -> None:
    """No other reader finds the table then: what is sealed already is not called done."""
    log = store / table.name / "_delta_log"
    shutil.rmtree(log)
    with pytest.raises(StoreError, match="is not in the Delta table") as caught:
        check_sealed(store, sealed(store))
    assert "--overwrite" in str(caught.value)
    assert {one.table for one in open_store(store).glance()} == {table.name}
    log.write_text("no folder")
    with pytest.raises(StoreError, match="is no folder"):
        open_store(store)


def test_other_minutes(tmp_path: Path) -> None:
    store_day(tmp_path, make_day())
    path = file_of(tmp_path, "minutes")
    whole = path.read_bytes()
    for change in (emptied, swapped):
        rewrite(path, change)
        with pytest.raises(StoreError, match="not as it was sealed: minutes/"):
            read(open_store(tmp_path), "minutes")
        for content in (False, True):
            (damage,) = open_store(tmp_path).audit(content=content).damage[:1]
            assert damage.table == "minutes"
        path.write_bytes(whole)
    assert open_store(tmp_path).audit().clean


def test_a_file_of_the_same_size_at_a_glance(store: Path) -> None:
    """Rows and leaves are held against the seal even where the size is as it was."""
    path = file_of(store, "quality")
    rewrite(path, lambda rows: pa.concat_tables([rows, rows]))
    entry = json.loads(open_store(store).days()["files"][0])["quality"][0]
    file = SealedFile(entry[0], entry[1], path.stat().st_size, *entry[3:])
    assert "2 rows, where 1 were sealed" in file.at_a_glance(store / "quality", b"")
    assert "another file" in replace(file, rows=2).at_a_glance(store / "quality", b"")


def listed(table: Table, path: Path, root: Path) -> Part:
    relative = path.relative_to(root / table.name).as_posix()
    return Part(relative, 1, path.stat().st_size, "", "", b"", {}, {})


@pytest.mark.parametrize("table", CONTENT_TABLES[:3], ids=lambda table: table.name)
def test_a_file_that_no_seal_names(store: Path, made: tuple[Path, Path], table: Table) -> None:
    """Never read; where the Delta table lists it others would read it, and it is refused."""
    before = read(open_store(store), table.name)
    path = file_of(store, table.name)
    extra = path.with_name("part-00001-0123456789abcdef.parquet")
    shutil.copy(path, extra)
    assert read(open_store(store), table.name).equals(before)
    assert verify(open_store(store), made[1], untrusted_limit=1).check("schema").verdict == (
        Verdict.EXACT
    )
    partition = Partition("BINANCE", "BTC-USDT", DT)
    list_exactly(store, table, partition, [listed(table, each, store) for each in (path, extra)])
    with pytest.raises(StoreError, match="is in the Delta table alone"):
        read(open_store(store), table.name)
    fails(store, made[1], table.name)


def test_a_table_that_lists_nothing(store: Path, made: tuple[Path, Path]) -> None:
    partition = Partition("BINANCE", "BTC-USDT", DT)
    (table,) = (each for each in CONTENT_TABLES if each.name == "quality")
    list_exactly(store, table, partition, [])
    with pytest.raises(StoreError, match="is not in the Delta table"):
        open_store(store).trusted()
    fails(store, made[1], "quality")


@pytest.mark.parametrize(
    ("column", "value"),
    [("doubtful_ns", 0), ("files", "{}"), ("certified", True), ("provenance", "real")],
)
def test_a_seal_that_was_edited(store: Path, column: str, value: object) -> None:
    path = file_of(store, DAYS.name)
    row = pq.read_table(path, partitioning=None).to_pylist()[0]
    was = row[column]
    row[column] = value if value != was else 7
    pq.write_table(pa.Table.from_pylist([row], schema=DAYS.schema), path)
    list_exactly(store, DAYS, Partition("BINANCE", "BTC-USDT", DT), [listed(DAYS, path, store)])
    with pytest.raises(StoreError, match="is not what was written"):
        open_store(store)


def test_when_a_day_was_sealed_is_no_part_of_the_seal(store: Path) -> None:
    path = file_of(store, DAYS.name)
    assert forge(store, [{**seal_of(store), "sealed_at": 5}]) == path
    assert open_store(store).days()["sealed_at"][0] == 5


def forge(root: Path, rows: list[dict[str, object]], size: int | None = None) -> Path:
    """Another seal in place of the day's, under the name that its hash gives; the file."""
    path = file_of(root, DAYS.name)
    forged = path.with_name(seal_name(rows[0]))
    path.unlink()
    pq.write_table(pa.Table.from_pylist(rows, schema=DAYS.schema), forged)
    part = replace(listed(DAYS, forged, root), rows=len(rows))
    part = part if size is None else replace(part, size=size)
    list_exactly(root, DAYS, Partition("BINANCE", "BTC-USDT", DT), [part])
    return forged


def seal_of(root: Path) -> dict[str, object]:
    (row,) = pq.read_table(file_of(root, DAYS.name), partitioning=None).to_pylist()
    return dict(row)


def within(name: str, **changes: object) -> Callable[[dict[str, object]], dict[str, object]]:
    """Changes of a document in a seal, and of nothing else."""
    return lambda row: {name: json.dumps({**json.loads(str(row[name])), **changes})}


def more_rows(row: dict[str, object]) -> dict[str, object]:
    files = json.loads(str(row["files"]))
    files["events"][0][1] += 5
    return {"files": json.dumps(files)}


FORGED: dict[str, tuple[Callable[[dict[str, object]], dict[str, object]], str]] = {
    "events": (lambda _: {"events": 2**62}, "is damaged: events is"),
    "states": (lambda _: {"states": 0}, "is damaged: states is 0, and its files have"),
    "rows of a file": (more_rows, "is damaged: events is"),
    "files": (lambda _: {"files": "{}"}, "is damaged: events is"),
    "times": (lambda _: {"first_ts": 2**62, "last_ts": 2**62}, "and its seal says"),
    "later times": (lambda _: {"first_ts": 2**63 - 1, "last_ts": 2**63 - 1}, "of no time"),
    "exponents": (lambda _: {"price_exponent": 18}, "price_exponent is not that of its instrument"),
    "another symbol": (lambda _: {"venue_symbol": "X"}, "venue_symbol is not that of its"),
    "instrument": (
        within("instrument", size_exponent=7),
        "size_exponent is not that of its instrument",
    ),
    "no instrument": (within("instrument", rules=[]), "is damaged: BTC-USDT: rules must be"),
    "a grid too fine": (
        lambda row: {
            **within("instrument", price_exponent=18, size_exponent=18)(row),
            "price_exponent": 18,
            "size_exponent": 18,
        },
        "is another file than the one that was sealed",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_seal_that_lies_is_an_error_of_ours(store: Path, name: str) -> None:
    """Its own hash is right: whoever makes a seal may write what they like."""
    change, match = FORGED[name]
    row = seal_of(store)
    forge(store, [{**row, **change(row)}])
    with pytest.raises(StoreError, match=match) as caught:
        survey(open_store(store), "BINANCE", "BTC-USDT", None, None)
    assert caught.value.hint


@pytest.mark.parametrize("rows", [0, 2, 100_000])
def test_a_seal_has_one_row(store: Path, rows: int) -> None:
    row = seal_of(store)
    path = forge(store, [row])
    pq.write_table(pa.Table.from_pylist([row] * rows, schema=DAYS.schema), path)
    memory = Memory()
    with pytest.raises(StoreError, match=f"has {rows:,} rows, and not one") as caught:
        open_store(store)
    assert memory.peak < 100_000_000
    assert path.name in caught.value.message
    assert "Delete that file" in caught.value.hint


def test_a_seal_is_as_large_as_it_is_listed(store: Path) -> None:
    forge(store, [seal_of(store)], size=17)
    with pytest.raises(StoreError, match="bytes, where the table of days lists 17"):
        open_store(store)
