"""Paths that are something else than a command reads: what it says, and what it names instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lobproof.cli.places import Kind, kind_of
from lobproof.pipeline import derive_lake, reconstruct_sample
from support.commands import command, refused
from support.hourly_recording import golden_sample, hourly_lines

MAKES_GOLDEN = "`lobproof import FILES --out GOLDEN` makes a golden sample"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each kind, folders of them, and what is nothing of the kind."""
    folder = tmp_path_factory.mktemp("places")
    golden = golden_sample(folder / "made", hourly_lines(6), "one")
    for name in ("golden", "samples/a", "samples/b"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(golden)
    (folder / "recording.txt").symlink_to(folder / "made" / "one.txt")
    reconstruct_sample(golden, folder / "store")
    derive_lake(golden, folder / "lake")
    (folder / "mixed").mkdir()
    for name in ("store", "golden"):
        (folder / "mixed" / name).symlink_to(folder / name)
    (folder / "recorded").mkdir()
    for name in ("1.txt", "2.txt"):
        (folder / "recorded" / name).symlink_to(folder / "recording.txt")
    (folder / "empty").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "thesis.txt").write_text("precious")
    (folder / "notes" / "book").mkdir()  # the name alone makes no Crypto Lake files
    for name in ("nothing.txt", "nothing.gz"):
        (folder / "notes" / name).touch()
    for name in ("funding", "liquidations"):
        (folder / "tables" / name / "exchange=BINANCE").mkdir(parents=True)
    (folder / "flat").mkdir()
    (folder / "flat" / "trades.parquet").touch()
    return folder


def test_each_kind_is_known(places: Path) -> None:
    kinds = {path.name: kind_of(path) for path in places.iterdir()}
    assert kinds == {
        "golden": Kind.GOLDEN,
        "store": Kind.STORE,
        "lake": Kind.LAKE,
        "recording.txt": Kind.RECORDING,
        **dict.fromkeys(
            ("made", "samples", "mixed", "recorded", "empty", "notes", "tables", "flat")
        ),
    }
    for path in (places / "notes").iterdir():
        assert kind_of(path) is None
    assert kind_of(places / "missing") is None


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ("reconstruct recording.txt --out new", "is a recording", "import recording.txt --out"),
        ("reconstruct recorded --out new", "holds 2 recordings", "recorded/1.txt recorded/2.txt"),
        ("reconstruct samples --out new", "holds 2 golden samples", "samples/a samples/b"),
        ("reconstruct store --out new", "store is a store", "inspect store"),
        ("reconstruct golden/journal --out new", "lies in a golden sample", "golden"),
        ("reconstruct empty --out new", "is empty", MAKES_GOLDEN),
        ("reconstruct notes --out new", "holds no golden.json and no trades", MAKES_GOLDEN),
        ("reconstruct notes/thesis.txt --out new", "is a file", MAKES_GOLDEN),
        ("reconstruct missing --out new", "does not exist", MAKES_GOLDEN),
        ("reconstruct golden --out new --from 2024-08-09 --base golden", "not a store", "golden"),
        ("verify golden --against store", "not a store", "reconstruct golden --out STORE"),
        ("verify lake --against golden", "not a store", "reconstruct lake --out STORE"),
        ("verify store --against lake", "is a folder of Crypto Lake", MAKES_GOLDEN),
        ("verify store --against samples", "holds 2 golden samples", "samples/a samples/b"),
        ("verify store --lake golden", "is a golden sample", "derive-lake golden --out"),
        ("verify store/events", "lies in a store", "store"),
        ("verify mixed", "holds a store", "mixed/store"),
        ("report recording.txt", "is a recording", "import recording.txt --out GOLDEN"),
        ("report store --against missing", "does not exist", MAKES_GOLDEN),
        ("inspect mixed", "holds a store and a golden sample", "mixed/store mixed/golden"),
        ("inspect lake", "is a folder of Crypto Lake files", "reconstruct lake --out STORE"),
        ("derive-lake store --out new", "is a store", "inspect store"),
        ("derive-lake recording.txt --out new", "is a recording", "import recording.txt --out"),
        ("import golden --out new", "is a golden sample", "reconstruct golden --out STORE"),
        ("import recorded --out new", "holds 2 recordings", "import recorded/1.txt recorded/2.txt"),
        ("import samples --out new", "holds 2 golden samples", "reconstruct samples/a --out STORE"),
        ("import lake --out new", "is a folder of Crypto Lake", "reconstruct lake --out STORE"),
        (
            "reconstruct tables --out new",
            "tables holds funding, liquidations of Crypto Lake, and none of",
            "acquire download",
        ),
        (
            "verify store --lake tables",
            "none of trades, book and book_delta_v2",
            "acquire download",
        ),
        ("doctor flat", "flat holds Parquet files that no folders tell apart", "trades/exchange="),
        ("doctor golden", "is a golden sample", "derive-lake golden --out LAKE"),
    ],
)
def test_what_else_it_is_is_told_with_the_next_command(
    places: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, said: str, hint: str
) -> None:
    monkeypatch.chdir(places)
    _, _, told = refused(re.escape(said), *arguments.split()).partition("\nHint: ")
    assert hint in told
    assert not (places / "new").exists()


@pytest.mark.parametrize("arguments", ["inspect store", "reconstruct golden --out store"])
def test_tables_fit_into_80_columns(
    places: Path, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.chdir(places)
    monkeypatch.setenv("COLUMNS", "80")
    said = command(*arguments.split())
    days = command("inspect", "store", "--json").document["days"]
    rows = [line for line in said.out.splitlines() if days[0]["content_hash"][:12] in line]
    assert rows
    room = len(f"{100_000_000:,}") - len(f"{days[0]['events']:,}")  # a large day's events
    assert all(len(line.rstrip()) + room <= 80 for line in rows)
