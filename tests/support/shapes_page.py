"""The tables of docs/recordings.md: each shape with two lines of it, and what the import says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from lobproof.sources.recordings import import_recordings
from support.downloads import FILES
from support.shapes import SHAPES, Line, lines_of
from support.wire import T0, depth, snapshot, stamped, trade, wrapped

_BEGIN, _END = "<!-- {} -->\n", "<!-- end of {} -->"
_SHOWN = 76
_LINES: list[Line] = lines_of(
    stamped(
        [
            wrapped(one)
            for one in (
                trade(100, "10.20", "0.25", time=T0),
                snapshot(5, [("10.10", "1")], [("10.30", "2.5")]),
                depth(6, 7, [("10.20", "3.25")], [], time=T0 + 100),
            )
        ]
    )
)


def with_tables(page: str) -> str:
    """The page with its tables as they are to be."""
    with TemporaryDirectory() as folder:
        for key, rows in (
            ("shapes", list(_shapes(Path(folder)))),
            ("downloads", list(_downloads(Path(folder)))),
        ):
            begin, end = _BEGIN.format(key), _END.format(key)
            before, _, rest = page.partition(begin)
            _, _, after = rest.partition(end)
            page = f"{before}{begin}{''.join(rows)}{end}{after}"
    return page


def _shapes(folder: Path) -> Iterator[str]:
    yield "| shape | its first two lines | what the import says |\n|---|---|---|\n"
    for shape in SHAPES:
        data = shape.write(_LINES)
        said = _said(folder / "recording", data)
        shown = _first_two(data.decode()) if data.isascii() else "the plain lines, packed so"
        yield f"| {shape.name} | {shown} | {said} |\n"


def _downloads(folder: Path) -> Iterator[str]:
    yield "| download | two rows of it | what the import says |\n|---|---|---|\n"
    for name, file in FILES.items():
        if name == "snapshots":
            continue
        rows = "".join(f"{row}\n" for row in file.rows)
        said = _said(folder / f"{file.name}.csv", rows.encode())
        yield f"| {name}: `{file.name}.csv` | {_first_two(rows)} | {said} |\n"


def _said(file: Path, data: bytes) -> str:
    """What the import takes a file for, in words."""
    file.write_bytes(data)
    said: list[str] = []
    import_recordings([file], file.parent / "golden", overwrite=True, tell=said.append)
    return said[0].partition(": ")[2]


def _first_two(text: str) -> str:
    lines = text.replace("\t", "⇥").splitlines()[:2]
    cut = (f"{line[:_SHOWN]}…" if len(line) > _SHOWN else line for line in lines)
    return "<br>".join(f"`{one}`".replace("|", "\\|") for one in cut)
