"""The commands as a user runs them, on a small simulated market."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lobproof
from lobproof.cli import ERROR, run
from lobproof.cli.console import clock, duration
from lobproof.pages import sweep
from lobproof.pages.sums import DaySums
from lobproof.sources.simulator import simulate

MINUTES = "0.3"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sim``, ``golden`` and ``store``, each made by its command."""
    root = tmp_path_factory.mktemp("chain")
    simulate = ["simulate", "--out", str(root / "sim"), "--minutes", MINUTES]
    assert run([*simulate, "--start", "2026-01-04T23:59:50Z", "--snapshot-every", "5"]) == 0
    recordings = [str(path) for path in sorted((root / "sim").glob("*.gz"))]
    assert run(["import", *recordings, "--out", str(root / "golden")]) == 0
    assert run(["reconstruct", str(root / "golden"), "--out", str(root / "store")]) == 0
    return root


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in (
        "import",
        "reconstruct",
        "verify",
        "inspect",
        "report",
        "simulate",
        "demo",
        "derive-lake",
    ):
        assert command in text


@pytest.mark.parametrize(
    "command",
    ["import", "reconstruct", "verify", "inspect", "report", "simulate", "demo", "derive-lake"],
)
def test_each_command_explains_itself_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"lobproof {command}" in text


@pytest.mark.parametrize(
    ("arguments", "told", "help_of"),
    [
        (["verify"], "STORE", "verify"),
        (["verify", "store", "--agianst", "golden"], "--against", "verify"),
        (["verify", "store", "golden"], "golden", "verify"),
        (["simulate", "--out", "x", "--minutes", "abc"], "abc", "simulate"),
        (["simulate", "--out", "x", "--preset", "doge"], "nexo", "simulate"),
        (["acquire", "download"], "--out", "acquire download"),
        (["acquire", "frob"], "list-inventory", "acquire"),
        (["verfy"], "verify", ""),
    ],
)
def test_wrong_usage_ends_in_a_hint(
    arguments: list[str], told: str, help_of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ERROR
    said = capsys.readouterr()
    what, hint = said.err.splitlines()
    assert what.startswith("error: ")
    assert told in what
    assert hint.startswith(f"Hint: `lobproof {help_of} --help`".replace("  ", " "))
    assert said.out == ""


def test_help_loads_nothing_heavy() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from lobproof.cli import run; run(['--help']);"
            "print([m for m in ('numba', 'polars', 'pyarrow', 'matplotlib') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.splitlines()[-1] == "[]"


def test_synthetic_data_is_called_so(chain: Path) -> None:
    golden = json.loads((chain / "golden" / "golden.json").read_text())
    assert golden["provenance"] == "synthetic"


def test_inspect_shows_store_and_sample(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(chain / "store")]) == 0
    text = capsys.readouterr().out
    assert "2026-01-04" in text
    assert "2026-01-05" in text
    assert "synthetic" in text
    assert run(["inspect", str(chain / "golden")]) == 0
    assert "no gap" in capsys.readouterr().out


def test_unreadable_lines_are_shown_with_their_places_and_how_many_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulation = simulate(tmp_path / "sim", minutes=0.1)
    whole = gzip.decompress(simulation.recordings[-1].read_bytes())
    lines = whole.splitlines()
    bad = [line if number % 3 != 1 else line[:-9] for number, line in enumerate(lines)]
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"\n".join(bad))[:-200])
    (tmp_path / "empty.txt").touch()
    files = [str(cut), str(tmp_path / "empty.txt")]
    assert run(["import", *files, "--out", str(tmp_path / "golden")]) == 0
    said = capsys.readouterr().out
    document = json.loads((tmp_path / "golden" / "golden.json").read_text())
    more = sum(document["findings"]["invalid"]["by_reason"].values()) - 10
    assert more > 90
    for words in (
        "empty.txt: the file is empty\n",
        "the gzip data breaks off at byte",
        "cut.gz, line 5: json: Input data was truncated\n",
        f"and {more:,} more, of which golden.json lists 90\n",
    ):
        assert words in re.sub(" +\n", "\n", said), words
    assert said.count("json: Input data") == 10
    assert run(["inspect", str(tmp_path / "golden")]) == 0
    assert capsys.readouterr().out == said


def test_inspect_json(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(chain / "store"), "--json"]) == 0
    days = json.loads(capsys.readouterr().out)["days"]
    assert [day["dt"] for day in days] == ["2026-01-04", "2026-01-05"]
    assert days[1]["carried_from"] == days[0]["keyframes_hash"]
    assert run(["inspect", str(chain / "golden"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["symbol"] == "SIM-USDT"


def test_verify_exits_by_its_verdict(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["verify", str(chain / "store"), "--against", str(chain / "golden"), "--json"])
    report = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in report["checks"]}
    for name in ("chain", "uncrossed", "level_changes", "trades", "book_ticker_same_id"):
        assert checks[name]["verdict"] == "exact", name
        assert checks[name]["compared"] == checks[name]["equal"] > 0
    assert checks["snapshots"]["verdict"] == "exact"
    assert code == {"pass": 0, "fail": 1, "inconclusive": 2}[report["verdict"]]
    assert run(["verify", str(chain / "store"), "--against", str(chain / "golden")]) == code
    said = capsys.readouterr()
    assert "level_changes" in said.out
    assert "DEMO: synthetic data" in said.out
    assert "Next: lobproof " in said.err


@pytest.mark.parametrize("command", ["verify", "report"])
def test_verify_and_report_of_some_days(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    asked = [command, str(chain / "store"), "--against", str(chain / "golden")]
    asked += ["--out", str(tmp_path / "page.html")] if command == "report" else []
    day = lobproof.open(chain / "store").days()["dt"][0]
    assert run([*asked, "--date", day]) in (0, 2)
    capsys.readouterr()
    for options, words in (
        (["--date", "2031-01-01"], "None of the days"),
        (["--end", day], "None of the days"),
        (["--date", day, "--start", day], "--date beside --start or --end"),
        (["--date", "tomorrow"], "'tomorrow' is no day"),
    ):
        assert run([*asked, *options]) == 3
        said = " ".join(capsys.readouterr().err.split())
        assert words in said
        assert "Hint:" in said


def test_running_again_says_so_and_changes_nothing(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (chain / "store").rglob("*.json")}
    assert run(["reconstruct", str(chain / "golden"), "--out", str(chain / "store")]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (chain / "store").rglob("*.json")} == before
    recordings = [str(path) for path in sorted((chain / "sim").glob("*.gz"))]
    assert run(["import", *recordings, "--out", str(chain / "golden")]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_reconstruct_json(chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["reconstruct", str(chain / "golden"), "--out", str(tmp_path / "s"), "--json"]
    assert run([*arguments, "--batch-rows", "1000"]) == 0
    days = json.loads(capsys.readouterr().out)["days"]
    assert run(["inspect", str(chain / "store"), "--json"]) == 0
    sealed = json.loads(capsys.readouterr().out)["days"]
    assert [day["content_hash"] for day in days] == [day["content_hash"] for day in sealed]


def test_report_writes_a_page(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    arguments = ["report", str(chain / "store"), "--out", str(page)]
    assert run([*arguments, "--against", str(chain / "golden")]) == 0
    assert str(page) in capsys.readouterr().out.replace("\n", "")
    assert "DEMO" in page.read_text()


def test_a_fresh_report_replays_what_is_kept_into_the_same_page(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBPROOF_CACHE_DIR", str(tmp_path / "cache"))
    replayed: list[str] = []
    replay = sweep._replayed

    def noted(part: sweep.Part, one: sweep.DayPart, tell: Callable[[int], None]) -> DaySums:
        replayed.append(one.day["dt"])
        return replay(part, one, tell)

    monkeypatch.setattr(sweep, "_replayed", noted)
    pages = []
    for name, options in (("first", []), ("kept", []), ("fresh", ["--fresh"])):
        page = tmp_path / f"{name}.html"
        assert run(["report", str(chain / "store"), "--out", str(page), *options]) == 0
        pages.append((page.read_bytes(), len(replayed)))
    assert {content for content, _ in pages} == {pages[0][0]}
    assert [count for _, count in pages] == [2, 2, 4]


def test_import_and_simulate_json(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", "--out", str(tmp_path / "m"), "--minutes", "0.05", "--json"]) == 0
    recordings = json.loads(capsys.readouterr().out)["recordings"]
    assert run(["import", *recordings, "--out", str(tmp_path / "g"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"] == "synthetic"


def test_derive_lake_shows_rows_by_table_and_day(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["derive-lake", str(chain / "golden"), "--out", str(tmp_path / "lake")]
    assert run([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["rows"]) == ["trades", "book", "book_delta_v2"]
    assert set(result["rows"]["book"]) == {"2026-01-04", "2026-01-05"}
    assert run(arguments) == 0
    said = capsys.readouterr()
    assert "nothing to do" in said.err
    assert f"{result['rows']['book_delta_v2']['2026-01-05']:,}" in said.out
    assert "derived from a synthetic golden sample" in said.out
    assert run(["derive-lake", str(chain / "golden"), "--out", str(chain / "store")]) == ERROR
    assert "Hint: choose another folder" in capsys.readouterr().err


def test_demo_ends_with_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["demo", "--out", str(tmp_path), "--minutes", "0.5"])
    text = capsys.readouterr().out
    assert "DEMO (synthetic data) finished" in text
    # half a minute is too short for the limit on doubtful time: the first second has no snapshot
    assert code in (0, 1)
    assert list(tmp_path.rglob("report.html"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect", "missing"], "does not exist"),
        (["reconstruct", "missing", "--out", "s"], "does not exist"),
        (["verify", "missing", "--against", "golden"], "does not exist"),
        (["derive-lake", "missing", "--out", "l"], "does not exist"),
        (["import", "missing.gz", "--out", "g"], "missing.gz"),
        (["demo", "--minutes", "-1"], "above 0"),
        (["report", "missing"], "does not exist"),
        (
            ["golden", "purge", "one", "two", "--older-than", "90d"],
            "two: more than `lobproof golden",
        ),
    ],
)
def test_errors_are_plain_and_carry_a_hint(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == ERROR
    text = capsys.readouterr().err
    assert said in text
    assert "Hint:" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("arguments", [["nonsense"], ["verify", "store"], ["import", "--out", "g"]])
def test_wrong_usage_is_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ERROR
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert said.out + said.err


def test_a_broken_exchange_info_is_named(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "info.json"
    info.write_text("{")
    recording = str(next((chain / "sim").glob("*.gz")))
    arguments = ["import", recording, "--out", str(tmp_path / "g"), "--exchange-info", str(info)]
    assert run(arguments) == ERROR
    assert "info.json is no JSON document" in capsys.readouterr().err


def test_strict_reconstruct_of_a_whole_sample_passes(chain: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", str(chain / "golden"), "--out", str(tmp_path / "s"), "--strict"]
    assert run([*arguments, "--states", "1s"]) == 0


def test_times_and_durations_read_well() -> None:
    assert clock(0) == "-"
    assert clock(1_723_161_255_208_000_000) == "2024-08-08 23:54:15.208"
    assert duration(1_500_000_000) == "1.5 s"
    assert duration(600_000_000_000) == "10.0 min"
    assert duration(86_400_000_000_000) == "24.0 h"
