"""What can be wrong with a recording, at random places and of random sizes.

Each mutation spoils a `Tape` in place and says what it did. What it changes of the truth (an id
that stands for another book, another time) it writes into ``tape.known``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from fuzz.oracle import Extract, Sides
from fuzz.tape import DEPTH, OTHER, SECOND, SNAPSHOT, TRADE, Entry, Files, Tape, UnfitError

Mutation = Callable[[Tape], str]
MUTATIONS: dict[str, Mutation] = {}
HOUR = 3_600_000
"""In ms."""


def mutation(function: Mutation) -> Mutation:
    """Take up a mutation under its name."""
    MUTATIONS[function.__name__.replace("_", " ")] = function
    return function


# --- depth messages as a whole ----------------------------------------------------------------


@mutation
def depth_lost(tape: Tape) -> str:
    rows = tape.some(DEPTH, 5, tape.rng.choice((1, 1, 3, 100)))
    tape.drop(rows)
    return f"{len(rows)} messages"


@mutation
def depth_doubled(tape: Tape) -> str:
    rows = tape.some(DEPTH, 5, tape.rng.choice((1, 4)))
    later = tape.rng.choice((0, 0, 1, 20, 200))
    for row in reversed(rows):
        tape.insert(tape.entries[row], min(row + 1 + later, len(tape.entries)))
    return f"{len(rows)} messages, {later} lines later"


@mutation
def depth_swapped(tape: Tape) -> str:
    rows = tape.depths()
    if len(rows) < 60:
        raise UnfitError
    for _ in range(tape.rng.randint(1, 3)):
        k = tape.rng.randrange(len(rows) - 45)
        other = k + tape.rng.choice((1, 1, 2, 40))
        one, two = tape.entries[rows[k]], tape.entries[rows[other]]
        tape.entries[rows[k]] = replace(two, stamp=one.stamp)
        tape.entries[rows[other]] = replace(one, stamp=two.stamp)
        tape.spot(rows[k], rows[other])
    return "pairs"


@mutation
def depth_late(tape: Tape) -> str:
    (row,) = tape.some(DEPTH, 1)
    entry = tape.entries.pop(row)
    later = tape.rng.choice((3, 30, 300))
    tape.insert(entry, min(row + later, len(tape.entries)))
    return f"{later} lines"


@mutation
def blocks_swapped(tape: Tape) -> str:
    size = tape.rng.choice((5, 50, 200))
    if len(tape.entries) < 3 * size:
        raise UnfitError
    row = tape.rng.randrange(len(tape.entries) - 2 * size)
    one, two = tape.entries[row : row + size], tape.entries[row + size : row + 2 * size]
    tape.entries[row : row + 2 * size] = [*two, *one]
    return f"{size} lines"


@mutation
def depth_renumbered(tape: Tape) -> str:
    rows = tape.some(DEPTH, 3)
    by = tape.rng.choice((1, -1, 7, -300, 10**6, 10**12))
    for row in rows:
        entry = tape.entries[row]
        ids = {name: max(entry.data[name] + by, 1) for name in ("U", "u")}
        tape.entries[row] = entry.changed(**ids)
        tape.known.also(ids["u"], entry.version)
    return f"{len(rows)} by {by}"


@mutation
def first_id_wrong(tape: Tape) -> str:
    rows = tape.some(DEPTH, 2)
    by = tape.rng.choice((1, -1, -50))
    name = "pu" if tape.extract.futures else "U"
    for row in rows:
        entry = tape.entries[row]
        tape.entries[row] = entry.changed(**{name: entry.data[name] + by})
    return f"{len(rows)} by {by}"


@mutation
def ids_restart(tape: Tape) -> str:
    rows = tape.depths()
    row = tape.rng.choice(rows[len(rows) // 4 :])
    by = tape.entries[row].data["U"] - tape.rng.choice((1, 1000, tape.entries[row].data["U"] // 2))
    if tape.rng.random() < 0.3:
        by = -by
    names = ("U", "u", "pu") if tape.extract.futures else ("U", "u")
    for k in range(row, len(tape.entries)):
        entry = tape.entries[k]
        if entry.kind == DEPTH and entry.raw is None and entry.ours:
            tape.entries[k] = entry.changed(**{name: entry.data[name] - by for name in names})
            tape.known.also(tape.entries[k].data["u"], entry.version)
    tape.spot(row)
    if tape.rng.random() < 0.5 and tape.entries[row].version >= 0:
        version = tape.version(0.6)
        number = int(tape.extract.ids[version]) - by
        if version >= tape.entries[row].version:
            tape.insert(tape.snapshot(version, number=number), tape.place(version) + 1)
            tape.known.also(number, version)
    return f"by {-by}"


@mutation
def doubled_with_other_rows(tape: Tape) -> str:
    rows = tape.some(DEPTH, 3)
    for row in reversed(rows):
        entry = tape.entries[row]
        bids = [[price, _twice(size), *rest] for price, size, *rest in entry.data["b"]]
        tape.insert(entry.changed(b=bids), row + 1)
    return f"{len(rows)} messages"


@mutation
def split_in_two(tape: Tape) -> str:
    rows = tape.some(DEPTH, 3)
    for row in reversed(rows):
        entry = tape.entries[row]
        tape.entries[row] = entry.changed(b=[])
        tape.insert(entry.changed(a=[]), row + 1)
    return f"{len(rows)} messages"


@mutation
def rows_changed(tape: Tape) -> str:
    """Nothing tells that the content of a chained message is not what it was."""
    rows = tape.some(DEPTH, 3)
    for row in rows:
        entry = tape.entries[row]
        bids = [[price, _twice(size), *rest] for price, size, *rest in entry.data["b"]]
        tape.entries[row] = entry.changed(b=bids)
    tape.known.unseen = True
    return f"{len(rows)} messages"


def _twice(size: str) -> str:
    whole, point, digits = size.partition(".")
    number = str(2 * int(whole + digits)).rjust(len(digits) + 1, "0")
    return f"{number[: len(number) - len(digits)]}{point}{number[len(number) - len(digits) :]}"


# --- lines that cannot be read, files that break off --------------------------------------------


@mutation
def lines_cut(tape: Tape) -> str:
    rows = tape.some(tape.rng.choice((DEPTH, DEPTH, TRADE)), 5)
    for row in rows:
        _garble(tape, row, "cut")
    return f"{len(rows)} lines"


def _garble(tape: Tape, row: int, how: str) -> None:
    entry = tape.entries[row]
    whole = json.dumps(entry.document, separators=(",", ":")).encode()
    raw = {
        "cut": whole[: tape.rng.randrange(2, len(whole))],
        "bytes": whole[:60] + b"\xff\x00\xfe" + whole[63:],
        "number": whole.replace(b'["', b'["x', 1),
        "nan": whole.replace(b'["', b'["NaN', 1),
        "renamed": whole.replace(b'"b":', b'"bids":', 1),
        "null": whole.replace(b'"a":[', b'"a":null,"z":[', 1),
        "negative": whole.replace(b'["', b'["-', 1),
        "no stamp": whole,
        "text time": whole.replace(b'"E":', b'"E":"', 1).replace(b',"s"', b'","s"', 1),
    }[how]
    tape.entries[row] = replace(entry, raw=raw, bare=how == "no stamp")


_HOWS = ("cut", "bytes", "number", "nan", "renamed", "null", "negative", "no stamp", "text time")


@mutation
def depth_garbled(tape: Tape) -> str:
    rows = tape.some(DEPTH, 3, tape.rng.choice((1, 10)))
    how = tape.rng.choice(_HOWS)
    for row in rows:
        _garble(tape, row, how)
    return f"{len(rows)} lines: {how}"


@mutation
def depth_unreadable_from_here(tape: Tape) -> str:
    rows = tape.depths()
    start = tape.rng.randrange(len(rows) // 4, len(rows))
    stop = len(rows) if tape.rng.random() < 0.7 else min(start + 200, len(rows))
    how = tape.rng.choice(_HOWS)
    tape.spot(*rows[start:stop:50])
    for row in rows[start:stop]:
        _garble(tape, row, how)
    return f"{stop - start} lines: {how}"


@mutation
def gzip_cut(tape: Tape) -> str:
    share = tape.rng.uniform(0.2, 0.999)

    def cut(files: Files) -> Files:
        name = next(iter(files))
        return {**files, name: files[name][: int(share * len(files[name]))]}

    tape.manglers.append(cut)
    return f"at {share:.3f}"


@mutation
def bytes_flipped(tape: Tape) -> str:
    places = [tape.rng.random() for _ in range(tape.rng.randint(1, 3))]

    def flip(files: Files) -> Files:
        name = next(iter(files))
        data = bytearray(files[name])
        for place in places:
            data[int(place * len(data))] ^= 0x41
        return {**files, name: bytes(data)}

    tape.manglers.append(flip)
    return f"{len(places)} bytes"


@mutation
def lines_foreign(tape: Tape) -> str:
    for _ in range(tape.rng.randint(1, 5)):
        raw = tape.rng.choice(
            (b"", b"   ", b"\0" * 30, b'{"e":"kline"}', b"[1,2]", b"connected", b"null", b"{}")
        )
        bare = tape.rng.random() < 0.5
        row = tape.rng.randrange(len(tape.entries))
        tape.insert(Entry(0, OTHER, raw=raw, bare=bare), row)
    return "between"


# --- outages ----------------------------------------------------------------------------------


@mutation
def outage(tape: Tape) -> str:
    start = tape.version(0.1, 0.8)
    stop = min(start + tape.rng.choice((3, 50, 300)), tape.extract.versions - 2)
    low, high = tape.place(start), tape.place(stop)
    if high <= low:
        raise UnfitError
    tape.spot(*tape.depths()[:: max(len(tape.depths()) // 20, 1)])
    tape.known.spots += [
        tape.known.time(v) for v in range(start, stop, max((stop - start) // 9, 1))
    ]
    tape.drop(range(low + 1, high))
    how = tape.rng.choice(("silent", "snapshot", "snapshot later", "file", "pause"))
    if how.startswith("snapshot"):
        version = stop if how == "snapshot" else min(stop + 60, tape.extract.versions - 1)
        limit = tape.rng.choice((1000, 20, 5))
        tape.insert(tape.snapshot(version, (limit, limit)), tape.place(version) + 1)
    elif how == "file":
        stamp = tape.entries[low + 1].stamp if low + 1 < len(tape.entries) else 0
        tape.cutters.append(
            lambda group: [
                [one for one in group if one.stamp < stamp],
                [one for one in group if one.stamp >= stamp],
            ]
        )
    elif how == "pause":
        _shift(tape, low + 1, stop, tape.rng.choice((60, 3600)))
    return f"versions {start} to {stop}, {how}"


@mutation
def pause(tape: Tape) -> str:
    """Nothing is lost: the market itself, or its clock, stood still."""
    version = tape.version()
    seconds = tape.rng.choice((4, 20, 3600))
    _shift(tape, tape.place(version - 1) + 1, version, seconds)
    return f"{seconds} s before version {version}"


def _shift(tape: Tape, row: int, version: int, seconds: int) -> None:
    """All lines from a row on come later, by all clocks."""
    per_second = 10 ** (len(str(tape.entries[0].stamp)) - 10)
    tape.known.spots += [
        tape.known.time(version - 1) + part * seconds * SECOND // 4 for part in range(1, 4)
    ]
    for k in range(row, len(tape.entries)):
        entry = tape.entries[k]
        entry = replace(entry, stamp=entry.stamp + seconds * per_second)
        if isinstance(entry.document, dict) and entry.raw is None:
            times = {
                name: entry.data[name] + 1000 * seconds
                for name in ("E", "T")
                if isinstance(entry.data.get(name), int)
            }
            entry = entry.changed(**times)
        tape.entries[k] = entry
    tape.known.shifts.append((version, seconds * SECOND))


# --- snapshots --------------------------------------------------------------------------------


def _first(tape: Tape) -> int:
    rows = tape.rows(SNAPSHOT)
    if not rows:
        raise UnfitError
    return rows[0]


@mutation
def first_snapshot_short(tape: Tape) -> str:
    row = _first(tape)
    entry = tape.entries[row]
    counts = (1, 2, 3, 5, 10, 15, 19, 20, 21, 25, 30, 50, 100, 500)
    both = tape.rng.choice(counts)
    limit = (both, both) if tape.rng.random() < 0.6 else (both, tape.rng.choice(counts))
    short = tape.snapshot(entry.version, limit)
    tape.entries[row] = replace(short, stamp=entry.stamp)
    return f"{limit[0]} bids, {limit[1]} asks"


@mutation
def snapshot_missing(tape: Tape) -> str:
    row = _first(tape)
    tape.drop([row])
    if tape.rng.random() < 0.5:
        return "for good"
    version = tape.version()
    tape.insert(tape.snapshot(version), tape.place(version) + 1)
    return f"until version {version}"


@mutation
def snapshots_true(tape: Tape) -> str:
    versions = [tape.version() for _ in range(tape.rng.randint(1, 4))]
    for version in versions:
        count = tape.rng.choice((1000, 100, 20))
        row = tape.place(version) + 1 + tape.rng.choice((0, 0, -3, 5))
        tape.insert(tape.snapshot(version, (count, count)), max(row, 0))
    return f"at versions {versions}"


@mutation
def snapshot_short(tape: Tape) -> str:
    version = tape.version()
    limit = tape.rng.randint(1, 19), tape.rng.randint(1, 19)
    tape.insert(tape.snapshot(version, limit), tape.place(version) + 1)
    return f"{limit} at version {version}"


@mutation
def snapshot_amid_a_message(tape: Tape) -> str:
    """Its id lies inside the next message's ids, and some of that message's changes are in it."""
    for _ in range(50):
        version = tape.version()
        message = tape.extract.messages[version]
        if message.final - message.first > 1:
            break
    else:
        raise UnfitError
    number = tape.rng.randint(message.first, message.final - 1)
    book = tape.extract.at(version)
    changes = [
        (side, *change)
        for side in (0, 1)
        for change in message.changes[side]
        if tape.rng.random() < 0.5
    ]
    for side, price, size in changes:
        book[side][price] = size
        if not size:
            del book[side][price]
    if max(book[0], default=0) >= min(book[1], default=1 << 62):
        raise UnfitError
    tape.insert(tape.snapshot(version, number=number, book=book), tape.place(version) + 1)
    # what is right at this id is neither the book before nor the one after
    tape.known.between(number, version, book)
    return f"{len(changes)} changes of version {version + 1}"


def _lie(tape: Tape, what: str, make: Callable[[int], tuple[Entry, int]], *, seen: bool) -> str:
    """Snapshots that are not so; ``seen``: what follows contradicts even where no chain vouches."""
    count = tape.rng.choice((1, 1, 1, 2, 3))
    versions = sorted(tape.version() for _ in range(count))
    for version in versions:
        entry, near = make(version)
        tape.insert(entry, tape.place(near) + 1)
        number = entry.data["lastUpdateId"]
        tape.known.also(number, version)
        if not seen:
            tape.known.lies.add(number)
        tape.spot(tape.place(near))
    return f"{what} at versions {versions}"


@mutation
def snapshot_stale(tape: Tape) -> str:
    """An older book under a newer id."""
    by = tape.rng.choice((1, 1, 50))
    limit = tape.rng.choice((1000, 1000, 20))

    def make(version: int) -> tuple[Entry, int]:
        book = tape.extract.at(max(version - by, 0))
        return tape.snapshot(version, (limit, limit), book=book), version

    return _lie(tape, f"{by} messages", make, seen=False)


@mutation
def snapshot_early(tape: Tape) -> str:
    """A newer book under an older id."""
    by = tape.rng.choice((1, 1, 50))

    def make(version: int) -> tuple[Entry, int]:
        book = tape.extract.at(min(version + by, tape.extract.versions - 1))
        return tape.snapshot(version, book=book), version

    return _lie(tape, f"{by} messages", make, seen=False)


@mutation
def snapshot_sizes_doubled(tape: Tape) -> str:
    def make(version: int) -> tuple[Entry, int]:
        bids, asks = tape.extract.at(version)
        twice = {p: 2 * s for p, s in bids.items()}, {p: 2 * s for p, s in asks.items()}
        return tape.snapshot(version, book=twice), version

    return _lie(tape, "doubled", make, seen=False)


@mutation
def snapshot_level_off(tape: Tape) -> str:
    """A level more or less among the leading ones."""
    more = tape.rng.random() < 0.5

    def make(version: int) -> tuple[Entry, int]:
        book = tape.extract.at(version)
        side = tape.rng.randrange(2)
        prices = sorted(book[side], reverse=side == 0)
        price = prices[tape.rng.randrange(min(len(prices), 15))]
        if more:
            gap = 10 ** (8 - min(tape.extract.digits[0], 2))
            book[side].setdefault(price + (-gap if side == 0 else gap), book[side][price])
        else:
            del book[side][price]
        return tape.snapshot(version, book=book), version

    return _lie(tape, "ghost" if more else "missing", make, seen=False)


@mutation
def snapshot_crossed(tape: Tape) -> str:
    def make(version: int) -> tuple[Entry, int]:
        bids, asks = tape.extract.at(version)
        return tape.snapshot(version, book=(asks, bids)), version

    return _lie(tape, "sides exchanged", make, seen=True)


@mutation
def snapshot_of_another_symbol(tape: Tape) -> str:
    """Another market's book under an id of ours."""
    named = tape.rng.random() < 0.3

    def make(version: int) -> tuple[Entry, int]:
        entry = tape.snapshot(version, book=_elsewhere(tape, version))
        return (entry.changed(symbol="ABCUSDT") if named else entry), version

    return _lie(tape, "named" if named else "bare", make, seen=True)


@mutation
def first_snapshot_of_another_symbol(tape: Tape) -> str:
    row = _first(tape)
    entry = tape.entries[row]
    other = tape.snapshot(entry.version, book=_elsewhere(tape, max(entry.version, 0)))
    named = tape.rng.random() < 0.3
    other = other.changed(symbol="ABCUSDT") if named else other
    tape.entries[row] = replace(other, stamp=entry.stamp)
    return "named" if named else "bare"


def _elsewhere(tape: Tape, version: int) -> Sides:
    """The same shape at prices a good deal lower."""
    step = 10 ** (8 - tape.extract.digits[0])
    shares = tape.rng.choice(((0.043, 7), (0.9, 2), (0.99, 3)))
    bids, asks = tape.extract.at(version)
    moved = [
        {
            max(int(p * shares[0]) // step, k + 1) * step: s * shares[1]
            for k, (p, s) in enumerate(side.items())
        }
        for side in (bids, asks)
    ]
    low, high = max(moved[0]), min(moved[1])
    if low >= high:
        moved[0] = {p: s for p, s in moved[0].items() if p < high}
    return moved[0], moved[1]


@mutation
def snapshot_inside_a_gap(tape: Tape) -> str:
    start = tape.version(0.1, 0.7)
    width = tape.rng.choice((5, 30, 150))
    stop = min(start + width, tape.extract.versions - 2)
    inside = tape.rng.randrange(start, stop)
    low, high = tape.place(start - 1), tape.place(stop)
    tape.drop([k for k in range(low + 1, high) if tape.entries[k].kind == DEPTH])
    tape.insert(tape.snapshot(inside), tape.place(start) + 1)
    tape.known.spots += [tape.known.time(v) for v in (start, inside, stop)]
    after = ""
    if tape.rng.random() < 0.5:
        version = min(stop + tape.rng.choice((0, 5, 100)), tape.extract.versions - 1)
        tape.insert(tape.snapshot(version), tape.place(version) + 1)
        after = f", another at {version}"
    return f"versions {start} to {stop} lost, snapshot of {inside}{after}"


# --- trades -----------------------------------------------------------------------------------


@mutation
def trades_missing(tape: Tape) -> str:
    rows = tape.rows(TRADE)
    share = tape.rng.choice((0.01, 0.3, 1.0))
    tape.drop([row for row in rows if tape.rng.random() < share])
    return f"{share:.0%}"


@mutation
def trades_at_another_time(tape: Tape) -> str:
    by = tape.rng.choice((8 * HOUR, -8 * HOUR, 400 * 24 * HOUR, 500, 5_000))
    part = tape.rng.choice((0.1, 1.0))
    for row in tape.rows(TRADE):
        if tape.rng.random() < part:
            entry = tape.entries[row]
            tape.entries[row] = entry.changed(
                **{name: entry.data[name] + by for name in ("E", "T") if name in entry.data}
            )
    return f"{part:.0%} by {by / 1000:g} s"


@mutation
def trades_out_of_order(tape: Tape) -> str:
    rows = tape.rows(TRADE)
    if len(rows) < 20:
        raise UnfitError
    for _ in range(tape.rng.choice((1, 30))):
        k = tape.rng.randrange(len(rows) - 10)
        one, two = rows[k], rows[k + tape.rng.randint(1, 9)]
        tape.entries[one], tape.entries[two] = (
            replace(tape.entries[two], stamp=tape.entries[one].stamp),
            replace(tape.entries[one], stamp=tape.entries[two].stamp),
        )
    return "pairs"


@mutation
def trades_doubled(tape: Tape) -> str:
    for row in reversed(tape.some(TRADE, 5, 5)):
        tape.insert(tape.entries[row], row + 1)
    return "again"


@mutation
def trades_of_zero(tape: Tape) -> str:
    rows = tape.some(TRADE, 5)
    for row in rows:
        tape.entries[row] = tape.entries[row].changed(p="0", q="0", X="NA")
    return f"{len(rows)} trades"


# --- times ------------------------------------------------------------------------------------


@mutation
def depth_times_wrong(tape: Tape) -> str:
    rows = tape.some(DEPTH, 5, tape.rng.choice((1, 20)))
    value = tape.rng.choice((0, -1, None, HOUR, -HOUR, 24 * HOUR, 8 * HOUR, 10_000, -10_000))
    for row in rows:
        entry = tape.entries[row]
        names = [name for name in ("E", "T") if name in entry.data]
        if value is None:
            data = {key: held for key, held in entry.data.items() if key not in names}
            document = {**entry.document, "data": data} if "data" in entry.document else data
            tape.entries[row] = replace(entry, document=document)
        elif value in (0, -1):
            tape.entries[row] = entry.changed(**dict.fromkeys(names, value))
        else:
            tape.entries[row] = entry.changed(**{name: entry.data[name] + value for name in names})
    # a stamp less than a minute off is believed, and the clock does not run back
    tape.known.slack = max(tape.known.slack, 62 * SECOND)
    return f"{len(rows)} messages: {value}"


@mutation
def depth_times_all_wrong(tape: Tape) -> str:
    by = tape.rng.choice((8 * HOUR, -8 * HOUR, 365 * 24 * HOUR))
    for row in tape.rows(DEPTH):
        entry = tape.entries[row]
        if entry.raw is None:
            times = {name: entry.data[name] + by for name in ("E", "T") if name in entry.data}
            tape.entries[row] = entry.changed(**times)
    # nothing else in a recording gives an absolute time but trades and the recorder's clock
    tape.known.slack = max(tape.known.slack, abs(by) * 10**6 + 62 * SECOND)
    return f"by {by // HOUR} h"


@mutation
def receive_times_wrong(tape: Tape) -> str:
    how = tape.rng.choice(("back", "ahead", "constant", "jump", "width"))
    rows = range(len(tape.entries))
    start = tape.rng.choice(rows)
    stop = len(rows)
    if how not in ("jump", "width"):
        stop = min(start + tape.rng.choice((1, 50)), len(rows))
    per_second = 10 ** (len(str(tape.entries[0].stamp)) - 10)
    by = {"back": -3600, "ahead": 3600, "jump": 600}.get(how, 0) * per_second
    first = tape.entries[start].stamp
    for row in range(start, stop):
        entry = tape.entries[row]
        stamp = first if how == "constant" else entry.stamp + by
        stamp = stamp * 1000 // per_second if how == "width" else stamp
        tape.entries[row] = replace(entry, stamp=stamp)
    return f"{how}, {stop - start} lines"


# --- files and shapes -------------------------------------------------------------------------


@mutation
def several_files(tape: Tape) -> str:
    parts = tape.rng.randint(2, 4)
    how = tape.rng.choice(
        ("names swapped", "overlapping", "unit", "one twice", "one missing", "one empty")
    )

    def cut(group: list[Entry]) -> list[list[Entry]]:
        size = len(group) // parts + 1
        over = 10 if how == "overlapping" else 0
        pieces = [group[max(k - over, 0) : k + size] for k in range(0, len(group), size)]
        if how == "names swapped":
            pieces.reverse()
        elif how == "one twice":
            pieces.append(pieces[0])
        elif how == "one missing" and len(pieces) > 2:
            del pieces[1]
        elif how == "unit":
            width = len(str(group[0].stamp)) - 13
            pieces[-1] = [replace(one, stamp=one.stamp // 10**width + 1) for one in pieces[-1]]
        return pieces

    tape.cutters.append(cut)
    if how == "one empty":
        tape.manglers.append(lambda files: {**files, "part_9.gz": gzip.compress(b"")})
    return f"{parts}, {how}"


@mutation
def another_symbol_beside(tape: Tape) -> str:
    """Lines of another symbol in between, its REST reply bare; ids of a venue are one counter."""
    tape.options["symbol"] = tape.extract.symbol
    bare = tape.rng.random() < 0.7
    mixed: list[Entry] = []
    for entry in tape.entries:
        mixed.append(entry)
        if entry.kind in (DEPTH, TRADE) and entry.raw is None and tape.rng.random() < 0.2:
            mixed.append(replace(_foreign(entry), ours=False, version=-1))
    tape.entries = mixed
    if bare:
        version = tape.version()
        other = tape.snapshot(version, book=_elsewhere(tape, version))
        tape.insert(replace(other, ours=False), tape.place(version) + 1)
    if tape.rng.random() < 0.3:
        # the first snapshot of the file is the other's
        other = tape.snapshot(0, book=_elsewhere(tape, 0))
        tape.insert(replace(other, ours=False), 1)
    return "with a snapshot" if bare else "without a snapshot"


def _foreign(entry: Entry) -> Entry:
    other = entry.changed(s="ABCUSDT")
    stream = str(other.document.get("stream", "")).partition("@")[2]
    return replace(other, document={**other.document, "stream": f"abcusdt@{stream}"})


@mutation
def levels_of_three(tape: Tape) -> str:
    """As the venue wrote them in 2017."""
    for row in tape.rows(DEPTH):
        entry = tape.entries[row]
        if entry.raw is None:
            sides = {name: [[*pair, []] for pair in entry.data[name]] for name in ("b", "a")}
            tape.entries[row] = entry.changed(**sides)
    return "elements"


@mutation
def snapshots_as_replies(tape: Tape) -> str:
    """Of the WebSocket API."""
    for row in tape.rows(SNAPSHOT):
        entry = tape.entries[row]
        if entry.raw is None:
            reply = {"id": 7, "status": 200, "result": entry.document}
            tape.entries[row] = replace(entry, raw=json.dumps(reply).encode())
    return "all"


@mutation
def no_envelope(tape: Tape) -> str:
    tape.entries = [
        replace(one, document=one.data)
        if isinstance(one.document, dict) and one.raw is None
        else one
        for one in tape.entries
    ]
    return "raw payloads"


@mutation
def partial_depth_instead(tape: Tape) -> str:
    """Futures' partial depth without an envelope: a whole chain of books of twenty levels."""
    if not tape.extract.futures:
        raise UnfitError
    shown = tape.rng.choice((5, 10, 20))
    for row in tape.rows(DEPTH):
        entry = tape.entries[row]
        if entry.version >= 0 and entry.raw is None:
            listed = tape.document(tape.extract.at(entry.version), 0, (shown, shown), entry.version)
            entry = entry.changed(b=listed["bids"], a=listed["asks"])
            tape.entries[row] = replace(entry, document=entry.data)
        else:
            tape.entries[row] = replace(entry, kind=OTHER, raw=b"", bare=True)
    return f"{shown} levels"


@mutation
def partial_depth_beside(tape: Tape) -> str:
    """A stream of partial books beside the changes, true ones."""
    shown = tape.rng.choice((5, 10, 20))
    stream = f"{tape.extract.symbol.lower()}@depth{shown}@100ms"
    for row in reversed(tape.some(DEPTH, 20)):
        entry = tape.entries[row]
        if tape.extract.futures:
            listed = tape.document(tape.extract.at(entry.version), 0, (shown, shown), entry.version)
            data = {**entry.data, "b": listed["bids"], "a": listed["asks"]}
        else:
            data = tape.document(
                tape.extract.at(entry.version), entry.data["u"], (shown, shown), entry.version
            )
        tape.insert(Entry(0, OTHER, {"stream": stream, "data": data}), row + 1)
    return f"{shown} levels"


def spoilt(extract: Extract, seed: int, chain: Sequence[tuple[int, str]]) -> tuple[Tape, list[str]]:
    """The extract's lines, spoilt by these mutations one after the other; what each did."""
    tape = Tape.of(extract, Random(seed))
    told = []
    for place, name in chain:
        tape.rng = Random(f"{seed} {place} {name}")
        try:
            told.append(f"{name}: {MUTATIONS[name](tape)}")
        except UnfitError:
            told.append(f"{name}: does not fit")
    return tape, told
