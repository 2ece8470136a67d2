"""``lobproof capture --metrics``: a session's figures as Prometheus reads them."""

from __future__ import annotations

import re
import signal
import time
from collections import defaultdict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lobproof.capture.metrics import Sample, exposition
from support.commands import command, refused
from support.kills import COMMAND, running
from support.served import served

FAULTS = ("--fault", "drop@3s,n=3,stream=depth", "--fault", "drop@4s,n=2,stream=trade")
Series = dict[str, dict[frozenset[tuple[str, str]], float]]
_LINE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\} (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\.)*)"')
_MEANT = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}


def parsed(text: str) -> Series:
    """Series by metric and labels, read by the words of the format."""
    series: Series = defaultdict(dict)
    typed: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("#"):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("HELP", "TYPE")
            if what == "TYPE":
                assert name not in typed
                assert rest == ("counter" if name.endswith("_total") else "gauge")
                typed[name] = rest
            continue
        found = _LINE.fullmatch(line)
        assert found is not None, line
        name, labels, value = found.groups()
        assert name in typed
        of = frozenset(
            (key, re.sub(r"\\.", lambda one: _MEANT[one[0]], text))
            for key, text in _LABEL.findall(labels)
        )
        name = name.removeprefix("lobproof_capture_")
        assert of not in series[name]
        series[name][of] = float(value)
    return series


@given(st.text(st.characters(codec="utf-8")), st.floats(allow_nan=False, allow_infinity=False))
def test_labels_are_read_as_they_were(text: str, value: float) -> None:
    found = parsed(exposition(iter([Sample("info", {"folder": text}, value)])).decode())
    assert found == {"info": {frozenset({("folder", text)}): value}}


def test_figures_of_a_capture(tmp_path: Path) -> None:
    """At the end they are those of the summary."""
    out, path = tmp_path / 'odd "name"', tmp_path / "lobproof.prom"
    with served("--preset", "btc", "--speed", "5", "--wait", *FAULTS) as url:
        said = command(
            *("capture", "SIMUSDT", "--endpoint", url, "--out", out, "--duration", "4s"),
            *("--redundancy", "2", "--metrics", path, "--json"),
        )
    assert said.code == 0, said
    figures = said.document["sessions"][0]["symbols"]["SIMUSDT"]
    lanes = said.document["sessions"][0]["lanes"]
    found = parsed(path.read_text())
    here = {("venue", "spot"), ("symbol", "SIMUSDT")}
    assert found["up"] == {frozenset({("venue", "spot")}): 0}
    assert found["messages_total"] == {
        frozenset({*here, ("stream", kind)}): count for kind, count in figures["messages"].items()
    }
    for name in ("gaps", "late"):
        assert found[f"{name}_total"] == {
            frozenset({*here, ("stream", kind)}): figures[name].get(kind, 0)
            for kind in ("depth", "trade")
        }
    for name, value in {
        "payload_bytes": figures["bytes"],
        "resets": figures["resets"],
        "snapshots": figures["snapshots"],
        "lost_lines": 0,
    }.items():
        assert found[f"{name}_total"] == {frozenset(here): value}
    told = figures["backfill"]
    assert (told["asked"], told["got"], told["refused"]) == (2, 2, 0)
    assert found["backfill_trades_total"] == {
        frozenset({*here, ("what", what)}): count for what, count in told.items()
    }
    assert sorted(found["socket_first_total"].values()) == sorted(one["first"] for one in lanes)
    assert set(found["socket_open"].values()) == {0}
    assert ("folder", str(out)) in next(iter(found["info"]))
    assert next(iter(found["disk_free_bytes"].values())) > 0
    assert all(abs(at - time.time()) < 600 for at in found["last_message_time_seconds"].values())


def test_while_it_runs_and_where_it_cannot_be_written(tmp_path: Path) -> None:
    """The first figures come at once; a file that goes away is told, and ends no capture."""
    folder = tmp_path / "textfiles"
    folder.mkdir()
    path = folder / "lobproof.prom"
    refused("No such file", "capture", "SIMUSDT", "--out", tmp_path / "x", "--metrics", "no/where")
    with (
        served("--preset", "btc", "--wait") as url,
        running(
            *(COMMAND, "capture", "SIMUSDT", "--endpoint", url, "--out", tmp_path / "day"),
            *("--metrics", path),
        ) as process,
    ):
        while not (path.exists() and path.read_text()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        assert list(parsed(path.read_text())["up"].values()) == [1]
        path.unlink()
        folder.rmdir()
        while not list((tmp_path / "day").glob("*/journal/*")):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"{path} is not written: No such file" in errors
