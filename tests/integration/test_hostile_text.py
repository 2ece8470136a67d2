"""Text from outside in every field that is shown: no command, log or page obeys it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lobproof import pages
from lobproof.cli import ERROR
from lobproof.errors import InputError, LobproofError, visible
from lobproof.instruments import Instrument, Rule
from lobproof.store import Partition, open_store
from support import lake_files
from support.acquired import key, validated_lake
from support.commands import on_terminal
from support.hostile import Answer, Asked, entry, hostile, page, refusal
from support.hostile_text import ALL, TEXTS, obeyed
from support.report import build_store, random_events
from support.wire import T0, depth, snapshot, stamped, tight, trade, wrapped

LINE_ENDS = ALL.replace("\n", "")
FILE_NAME = "".join(c for c in LINE_ENDS if c not in "/\0")[:60] + ".txt"


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def plainly(*arguments: object, codes: tuple[int, ...] = (0,)) -> str:
    """Run a command on a terminal: it ends so, without a traceback, and with nothing to obey."""
    code, shown = on_terminal(*arguments)
    assert code in codes, shown
    assert obeyed(shown) == []
    return shown


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with such text wherever a line has some, and its golden sample."""
    folder = tmp_path_factory.mktemp("hostile")
    good = [
        tight(snapshot(10, [("1.00", "5")], [("1.01", "3")])),
        *(wrapped(depth(n, n, [("1.00", str(n))], [], time=T0 + 100 * n)) for n in range(11, 40)),
        *(wrapped(trade(n, "1.01", "1", time=T0 + 4000 + n)) for n in range(1, 9)),
    ]
    bad = []
    for text in TEXTS:
        for document in (
            {"stream": text, "data": {}},
            {"stream": f"btcusdt@{text}", "data": text},
            {"stream": "btcusdt@depth", "data": {**depth(50, 50), "s": text}},
            {"stream": "btcusdt@trade", "data": {**trade(50, "1", "1"), "e": text}},
            {"stream": "btcusdt@trade", "data": {**trade(50, "1", "1"), "p": text}},
            {text: 1, "e": text, "s": text},
        ):
            bad += [json.dumps(document), json.dumps(document, ensure_ascii=False)]
        bad += [text.replace("\n", " ").replace("\0", " "), f'{{"stream":"{text}", "data":1}}'[:40]]
    recording = folder / FILE_NAME
    lines = stamped([*good[:20], *(line.replace("\n", " ") for line in bad), *good[20:]])
    recording.write_bytes(lines)
    arguments = ("--out", folder / "golden", "--symbol", "BTCUSDT", "--snapshots-are-ours")
    assert "invalid" in plainly("import", recording, *arguments)
    return folder


def test_a_recording(chain: Path, tmp_path: Path) -> None:
    recording, golden, store = chain / FILE_NAME, chain / "golden", tmp_path / "store"
    options = ("--symbol", "BTCUSDT", "--snapshots-are-ours")
    assert "\\x1b" in plainly("import", recording, "--out", golden, *options)
    for more in (("--strict",), ("--symbol", ALL), ("--exchange-info", recording)):
        shown = plainly("import", recording, "--out", tmp_path / "g", *more, codes=(ERROR,))
        assert "Hint: " in shown
    plainly("import", chain, "--out", tmp_path / "g", codes=(ERROR,))
    plainly("inspect", golden)
    assert "\\u" in plainly("inspect", golden, "--json")
    plainly("reconstruct", "--prove", "none", golden, "--out", store)
    plainly("inspect", store)
    plainly("inspect", store, "--json")
    plainly("verify", store, "--against", golden, codes=(0, 1, 2))
    plainly("verify", store, "--against", golden, "--json", codes=(0, 1, 2))
    plainly("report", store, "--against", golden, "--out", tmp_path / "page.html")
    assert obeyed((tmp_path / "page.html").read_text("utf-8")) == []
    plainly("derive-lake", golden, "--out", tmp_path / "lake")
    other = tmp_path / "notes"
    other.write_bytes(ALL.encode("utf-8"))
    assert "not a recording" in plainly("import", other, "--out", tmp_path / "g", codes=(ERROR,))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the texts of a document are."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in pairs:
            yield from leaves(inner, (*path, name))


def test_every_text_of_a_golden_sample(chain: Path, tmp_path: Path) -> None:
    """Its document is anyone's: each text by itself, and all that may be any text at once."""
    document = json.loads((chain / "golden" / "golden.json").read_text("utf-8"))
    golden = tmp_path / "golden"
    shutil.copytree(chain / "golden", golden)
    known: set[str] = set()
    taken = []
    for path in leaves(document):
        named = "/".join("#" if isinstance(part, int) else part for part in path)
        if named in known:
            continue
        known.add(named)
        changed = json.loads(json.dumps(document))
        _put(changed, path, ALL)
        (golden / "golden.json").write_text(json.dumps(changed), encoding="utf-8")
        if on_terminal("inspect", golden)[0] == 0:
            taken.append(path)
        plainly("inspect", golden, codes=(0, ERROR))
        plainly("inspect", golden, "--json", codes=(0, ERROR))
    free = [path for path in leaves(document) if path[0] in ("notes", "inputs", "findings")]
    assert len(taken) > 5
    for path in free:
        if path[-1] not in ("sha256", "stamp_unit", "reason"):
            _put(document, path, ALL)
    document["notes"] = [ALL]
    (golden / "golden.json").write_text(json.dumps(document), encoding="utf-8")
    plainly("inspect", golden)
    plainly("reconstruct", "--prove", "none", golden, "--out", tmp_path / "store")
    plainly("inspect", tmp_path / "store")
    plainly("report", tmp_path / "store", "--out", tmp_path / "page.html")
    assert obeyed((tmp_path / "page.html").read_text("utf-8")) == []


def _put(document: Any, path: tuple[Any, ...], value: str) -> None:
    for part in path[:-1]:
        document = document[part]
    document[path[-1]] = value


def test_every_text_of_a_seal(tmp_path: Path) -> None:
    build_store(
        tmp_path / "store",
        random_events(5, 200),
        config={"states": "all", ALL: ALL},
        inputs=[{"name": ALL, "bytes": 1, "sha256": ALL}],
        verdicts={"reasons": [ALL, *TEXTS], "findings": {ALL: 1}},
        strategy=ALL,
        carried_from=ALL,
    )
    plainly("inspect", tmp_path / "store", codes=(0, ERROR))
    plainly("inspect", tmp_path / "store", "--json", codes=(0, ERROR))
    page_of = pages.report(open_store(tmp_path / "store"), tmp_path / "page.html")
    text = page_of.read_text("utf-8")
    assert obeyed(text) == []
    assert "<script" not in text
    assert 'onerror="' not in text


def test_files_of_a_lake(tmp_path: Path) -> None:
    """Columns, values, what a file says of itself, and folders."""
    rows = lake_files.arrow("trades", lake_files.trades()).slice(0, 100)
    column = pa.array([ALL] * len(rows))
    spoilt = {
        "side": rows.set_column(0, "side", column),
        "column": rows.append_column(ALL, column),
        "name": rows.rename_columns([ALL, *rows.column_names[1:]]),
        "metadata": rows.replace_schema_metadata({"provenance": ALL, ALL: ALL}),
    }
    for what, table in spoilt.items():
        path = tmp_path / what / key("trades").path
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
        options = ("--symbol", "SIM-USDT", "--date", "2026-01-05")
        plainly("doctor", tmp_path / what, *options, codes=(0, 1, 2, ERROR))
    for what, code in (("side", 0), ("name", ERROR)):
        store = tmp_path / f"store-{what}"
        plainly("reconstruct", tmp_path / what, "--out", store, "--workers", "1", codes=(code,))


def test_a_folder_of_acquired_data(tmp_path: Path) -> None:
    """What a manifest, an audit and a certificate say."""
    lake = validated_lake(tmp_path).root
    manifest = lake / "manifest.jsonl"
    whole = manifest.read_bytes()
    (first, *more) = [json.loads(line) for line in whole.splitlines()]
    commands = (("status", lake), ("validate", lake), ("certify", lake, "--allow-synthetic"))
    for name in first:
        changed = {**first, name: ALL}
        manifest.write_text("\n".join(map(json.dumps, (changed, *more))) + "\n", encoding="utf-8")
        for arguments in commands:
            plainly("acquire", *arguments, codes=(0, 1, 2, ERROR))
    manifest.write_bytes(whole)
    plainly("acquire", *commands[-1], codes=(0, 1, 2))


@pytest.mark.parametrize("text", [text for text in TEXTS if "/" not in text and "\0" not in text])
def test_names_of_symbols_are_refused(tmp_path: Path, text: str) -> None:
    lake = tmp_path / "lake"
    path = lake / "trades" / "exchange=BINANCE" / f"symbol={text}" / "dt=2026-01-05" / "1.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    shown = plainly("reconstruct", lake, "--out", tmp_path / "store", codes=(ERROR,))
    assert "Hint: " in shown
    with pytest.raises(InputError, match="cannot name an instrument"):
        Instrument("BINANCE", text, "A", 0, 0, (Rule(0, 1, 1),))
    with pytest.raises(LobproofError, match="cannot name a partition"):
        Partition(text, "A-B", "2026-01-05")


@pytest.mark.parametrize(
    "name", ["1000SHIB-USDT", "BTC-USDT-PERP", "币安人生USDT", "$A&B-U$D", "a.b_c"]
)
def test_names_of_symbols_that_there_are(name: str) -> None:
    assert Partition("BINANCE_FUTURES", name, "2026-01-05").symbol == name


@pytest.mark.parametrize("text", ["", *TEXTS])
def test_what_a_server_says(text: str) -> None:
    """Keys, tags, codes and messages of a bucket."""
    top = f"market-data/cryptofeed/trades/exchange=BINANCE/symbol=BTC-USDT{text}"

    def answer(asked: Asked) -> Answer:
        if not asked.lists:
            return refusal(text, 403, text)
        return Answer(body=page(entry(f"{top}/dt=2026-01-05/1.parquet", etag=text)))

    with hostile(answer) as server:
        where = ("--endpoint", server.url)
        plainly("acquire", "test-connection", *where, codes=(0, 1, ERROR))
        for names in ((), ("--symbols", "BTC-USDT")):
            arguments = (*where, "--tables", "trades", *names)
            plainly("acquire", "list-inventory", *arguments, codes=(0, 1, 2, ERROR))


@pytest.mark.parametrize(
    "arguments",
    [
        *(("inspect",), ("verify",), ("report",), ("derive-lake", "--out"), ("acquire", "status")),
        *(("acquire", "validate"), ("acquire", "certify"), ("reconstruct", "--out"), ("doctor",)),
        *(("simulate", "--preset"), ("acquire", "list-inventory", "--symbols"), ("demo", "--seed")),
        *(
            ("acquire", "certify", "--verify"),
            ("import", "--out"),
            ("acquire", "download", "--out"),
        ),
        (),
    ],
)
def test_what_a_command_is_given(arguments: tuple[str, ...]) -> None:
    text = LINE_ENDS.replace("\0", "")
    plainly(*arguments, text, codes=(ERROR,))
    plainly(*arguments, text, f"--{text}", codes=(ERROR,))


def test_errors_are_visible_wherever_they_are_seen() -> None:
    error = InputError(ALL, hint=ALL)
    assert obeyed(str(error)) == obeyed(repr(error)) == []
    for text in TEXTS:
        assert visible(visible(text)) == visible(text)
    assert visible("Größe 5 µs – 100\u202f% ✓ 币安") == "Größe 5 µs – 100\u202f% ✓ 币安"
