"""The pages of a report, an assessment and a proof in a real Chromium: whole, without errors."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lobproof import pages
from lobproof.assess.day import assess_lake, assess_sample, reference
from lobproof.assess.page import write_report
from lobproof.fidelity.gates.other_window import compare_windows
from lobproof.fidelity.gates.report import Against
from lobproof.pages.fidelity import fidelity_page
from lobproof.pipeline import lake_days, reconstruct_sample
from lobproof.pipeline.prove import prove
from lobproof.schema import Flag, Side
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import open_store
from plain.messages import ask, bid, to_batch
from support.batches import DAY_NS, make_instrument
from support.doctor import simulated_day
from support.report import anchor, build_store, depth, mark, random_events, trade

pytestmark = pytest.mark.browser

_PROBE = """
<script nonce="probe">
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => { one.open = true; });
  const out = document.createElement("script");
  out.type = "application/json"; out.id = "measured";
  const root = document.scrollingElement;
  out.textContent = JSON.stringify({
    client: root.clientWidth, scroll: root.scrollWidth, height: root.scrollHeight,
    pictures: [...document.images].map(i => [i.alt, i.complete, i.naturalWidth, i.naturalHeight,
      Math.round(i.getBoundingClientRect().width)]),
    wide: [...document.querySelectorAll("body *")].filter(e => !e.closest(".table, .picture, pre")
      && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.outerHTML.slice(0, 90)),
    cut: [...document.querySelectorAll(".tiles .value, h1, h2, .word")]
      .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.textContent),
    loaded: performance.getEntriesByType("resource").map(e => e.name)
      .filter(n => !n.startsWith("data:")),
  });
  document.body.append(out);
});
</script>
"""


def with_probe(text: str) -> str:
    """The page with a script of ours, which its policy lets run; all else is as it was."""
    policy = "default-src 'none'"
    assert text.count(policy) == 1
    return text.replace(policy, f"{policy}; script-src 'nonce-probe'").replace(
        "</body>", f"{_PROBE}</body>"
    )


@pytest.fixture(scope="module")
def chromium() -> str:
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found:
        pytest.skip("no Chromium: none on PATH, and CHROMIUM names none")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with everything in it: trades, a gap, an anchor after it."""
    folder = tmp_path_factory.mktemp("browser")
    build_store(folder / "full", random_events(5, 500))
    return pages.report(open_store(folder / "full"), folder / "full.html")


@pytest.fixture(scope="module")
def poor_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with a gap and without trades."""
    folder = tmp_path_factory.mktemp("browser")
    levels = [(1000 - k, 5 + k) for k in range(30)], [(1001 + k, 5 + k) for k in range(30)]
    messages = [
        anchor(0, 5, *levels),
        depth(300, 6, bid(1000, 50)),
        mark(600, 9, int(Flag.GAP), before=6),
        depth(900, 10, ask(1001, 3)),
        trade(1000, 1, Side.BUY, 1001, 2),
    ]
    build_store(folder / "poor", to_batch(messages))
    return pages.report(open_store(folder / "poor"), folder / "poor.html")


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store held against the sample that it was made of, and against one of another time."""
    folder = tmp_path_factory.mktemp("browser")
    made = simulate(folder / "market", preset="btc", minutes=1, seed=3)
    import_recordings(made.recordings, folder / "golden")
    reconstruct_sample(folder / "golden", folder / "store")
    store = open_store(folder / "store")
    report = prove(store, folder / "golden", keep_blocks=True)
    (same,) = report.against
    assert same.blocks is not None
    ours, golden = same.blocks
    moved = replace(golden, start=golden.start + DAY_NS)
    other = Against("other", other=compare_windows(ours, moved), blocks=(ours, moved))
    both = replace(report, against=(same, other))
    return fidelity_page(both, folder / "proof.html", store=store)


@pytest.fixture(scope="module")
def assessment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of the vendor's, held against a golden sample, and that sample."""
    folder = tmp_path_factory.mktemp("browser")
    (day,) = lake_days(simulated_day(folder / "sim"), zone=None)
    made = simulate(folder / "market", preset="btc", minutes=0.5, seed=3)
    golden = import_recordings(made.recordings, folder / "golden")
    found = [assess_lake(day, against=reference(golden)), assess_sample(golden)]
    return write_report(found, folder / "assessment.html")[0]


MARK = "document.documentElement.dataset.ran = 1"
SCRIPTS = (
    f"<script>{MARK}</script>",
    f"</style><script>{MARK}</script>",
    f'"><img src=x onerror="{MARK}">',
    f"'><svg onload='{MARK}'>",
    f"<a href=\"javascript:{MARK}\">x</a><iframe srcdoc='<script>parent.{MARK}</script>'>",
)


def hostile_page(folder: Path) -> Path:
    """A page of a store whose texts are scripts, each in every field."""
    for number, text in enumerate(SCRIPTS):
        build_store(
            folder / "hostile",
            random_events(5, 100),
            instrument=make_instrument(f"A{number}-USDT"),
            config={"states": "all", text: text},
            inputs=[{"name": text, "bytes": 1, "sha256": text}],
            verdicts={"reasons": [text]},
        )
    return pages.report(open_store(folder / "hostile"), folder / "hostile.html")


def ran(chromium: str, profile: Path, page: Path) -> tuple[bool, str]:
    """Whether a script ran in a page, and what Chromium said."""
    done = run(chromium, profile, "--dump-dom", "--virtual-time-budget=2000", page.as_uri())
    assert "lobproof report" in done.stdout
    return "data-ran" in done.stdout[: done.stdout.index("<head")], done.stderr


def test_no_text_runs_as_a_script(chromium: str, tmp_path: Path) -> None:
    page = hostile_page(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert all(script in html.unescape(text) and script not in text for script in SCRIPTS)
    assert ran(chromium, tmp_path / "profile", page)[0] is False


def test_the_policy_holds_what_was_not_escaped(chromium: str, tmp_path: Path, page: Path) -> None:
    """Even where a text were put in as it is: without the policy the same scripts run."""
    text = page.read_text(encoding="utf-8").replace("<main>", "<main>" + "".join(SCRIPTS))
    (tmp_path / "bare.html").write_text(
        re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text), encoding="utf-8"
    )
    assert ran(chromium, tmp_path / "profile", tmp_path / "bare.html")[0] is True
    (tmp_path / "held.html").write_text(text, encoding="utf-8")
    held, said = ran(chromium, tmp_path / "profile", tmp_path / "held.html")
    assert held is False
    assert "Content Security Policy" in said


def run(chromium: str, profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            "--v=0",
            *arguments,
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("width", [1280, 800, 500])
@pytest.mark.parametrize("which", ["page", "poor_page", "assessment", "proof"])
def test_pictures_are_there_and_nothing_is_cut_off(
    chromium: str, tmp_path: Path, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(which)
    text = source.read_text(encoding="utf-8")
    probed = tmp_path / "probed.html"
    probed.write_text(with_probe(text), encoding="utf-8")
    done = run(
        chromium, tmp_path / "profile", "--dump-dom", f"--window-size={width},900", probed.as_uri()
    )
    found = re.search(r'id="measured">(.*?)</script>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr
    measured = json.loads(found[1])
    assert "CONSOLE" not in done.stderr
    assert measured["client"] == width
    assert measured["scroll"] <= width
    assert measured["wide"] == []
    assert measured["cut"] == []
    assert measured["loaded"] == []
    assert len(measured["pictures"]) == text.count("<img ") > 2
    for alt, complete, natural_width, natural_height, shown in measured["pictures"]:
        assert alt
        assert complete
        assert natural_width == 1120
        assert natural_height > 200
        assert 600 < shown <= 1160


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_drawn(chromium: str, tmp_path: Path, page: Path, scheme: str) -> None:
    shot = tmp_path / "shot.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    run(
        chromium,
        tmp_path / "profile",
        f"--screenshot={shot}",
        "--window-size=1280,4000",
        *dark,
        page.as_uri(),
    )
    data = shot.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (1280, 4000)
    assert len(data) > 100_000  # an empty page is a few kilobytes
