"""What an import does with every line: its ids, the digits of its numbers, its stream, its journal.

All that the audits keep is bounded, however long the recording.
"""

from __future__ import annotations

from lobproof.fixedpoint.kernels import OK, parse_decimal, significant_decimals
from lobproof.jit import inlined, kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record, Records, integers, record
from lobproof.sources.binance.scan_kernels import (
    DEPTH,
    DOT,
    OTHER,
    SNAPSHOT,
    ZERO,
    Bytes,
    U,
    as_bytes,
)

ID_AUDIT = record(
    *integers("last", "last_event"),  # highest id, and its message's time
    *integers("before_final", "before_previous"),  # ids of the message before
    *integers("gaps", "duplicates", "late", "overlaps", "resets", "first_irregular"),
)
"""What is kept of a chain of ids."""

DECIMALS, DIGITS = 0, 1
"""What ``widths`` count: digits after and before the point."""
WIDTHS = 64
"""So many widths are told apart, from 0 on; what is wider counts as the widest."""
CLASSES = 4
"""Last digit group of a number's significand: odd, even, a multiple of 5, of 25."""
LAST_PLACES = 37
"""Place of the last significant digit: 10^18 … 10^-18."""
MAX_PLACE = 18

MAX_STREAMS = 64
MAX_NAME_BYTES = 64
_HEAD, _STREAM = as_bytes('{"capture_ns":'), as_bytes(',"stream":"')
_CONN, _TAIL = as_bytes('","conn":0,"data":'), as_bytes("}\n")
LINE_EXTRA = 19 + _HEAD.size + _STREAM.size + _CONN.size + _TAIL.size
"""Bytes that a journal line needs beyond its payload and its stream's name."""


@kernel
def audit_ids(
    state: Record, first: Int64, final: Int64, previous: Int64, event: Int64, listed: Int64
) -> int:
    """Count what is irregular into ``state``; gaps go to ``listed`` (rows, 2) while it has room.

    ``event`` is the exchange's time where ids that go back while it goes on mean a new beginning,
    0 where they never do. A row of ``listed`` is the last id before a gap and the first behind.
    Returns the rows written.
    """
    written = 0
    for i in range(final.shape[0]):
        last = state.last
        repeated = previous[i] == state.before_previous and final[i] == state.before_final
        state.before_previous = previous[i]
        state.before_final = final[i]
        irregular = True
        if final[i] < last and event[i] > state.last_event > 0:
            state.resets += 1
        elif final[i] <= last:
            if repeated:
                state.duplicates += 1
            else:
                state.late += 1
        elif previous[i] < last:
            state.overlaps += 1
        else:
            irregular = False
            if previous[i] > last:
                state.gaps += 1
                if written < listed.shape[0]:
                    listed[written, 0] = last
                    listed[written, 1] = first[i]
                    written += 1
        if irregular and state.first_irregular < 0:
            state.first_irregular = final[i]
        if final[i] > last or (final[i] < last and event[i] > state.last_event > 0):
            state.last = final[i]
            state.last_event = event[i]
    return written


@kernel
def count_partial(buf: Bytes, messages: Records, levels: Records) -> int:
    """Depth messages without a stream's name that look like partial depth of futures.

    Those are whole lists: 5, 10 or 20 levels on each side, and never a size of 0.
    """
    count = 0
    for i in range(messages.shape[0]):
        bids = messages[i].bids
        if messages[i].kind != DEPTH or messages[i].futures == 0 or messages[i].stream_stop != 0:
            continue
        if bids != messages[i].asks or (bids != 5 and bids != 10 and bids != 20):
            continue
        partial = True
        first = messages[i].level
        for level in range(first, first + 2 * bids):
            zero = True
            for pos in range(levels[level].quantity, levels[level].quantity_stop):
                zero = zero and (buf[pos] == ZERO or buf[pos] == DOT)
            partial = partial and not zero
        count += int(partial)
    return count


@kernel
def _digits_before(buf: Bytes, start: int, stop: int) -> int:
    """Digits before the point of a number, without the zeros that lead."""
    digits = 0
    for pos in range(start, stop):
        if buf[pos] == DOT:
            break
        if digits > 0 or buf[pos] != ZERO:
            digits += 1
    return digits


@inlined
def _measure_number(
    buf: Bytes,
    start: int,
    stop: int,
    message: int,
    which: int,
    widths: Int64,
    seen_at: Int64,
    places: Int64,
) -> None:
    """Add a number, ``digits[.digits]`` as the scan lets through."""
    point = stop
    significant = -1  # where its first digit but 0 stands, and its last
    last = -1
    for pos in range(start, stop):
        letter = buf[U(pos)]
        if letter == DOT:
            point = pos
        elif letter != ZERO:
            last = pos
            if significant < 0:
                significant = pos
    decimals = max(last - point, 0)
    digits = point - significant if 0 <= significant < point else 0
    for what, size in ((DECIMALS, decimals), (DIGITS, digits)):
        width = min(size, WIDTHS - 1)
        if widths[which, what, width] == 0:
            seen_at[which, what, width] = message
        widths[which, what, width] += 1
    if last < 0 or decimals > MAX_PLACE:
        return
    if digits + decimals > MAX_PLACE and parse_decimal(buf, start, stop, decimals)[1] != OK:
        return
    # what 10 and 25 leave over is in the last two digits of the significand
    unit = int(buf[last]) - ZERO
    before = last - 1
    if before > start and buf[before] == DOT:
        before -= 1
    tens = int(buf[before]) - ZERO if before >= start else 0
    group = 0
    if unit & 1 == 0:
        group = 1
    elif unit == 5:
        group = 3 if tens % 5 == 2 else 2
    place = last - point if last > point else last - point + 1
    places[which, MAX_PLACE + place, group] += 1


@kernel
def measure(
    buf: Bytes,
    messages: Records,
    levels: Records,
    base: int,
    widths: Int64,
    seen_at: Int64,
    places: Int64,
) -> None:
    """Add the numbers of all parsed messages to the statistics of prices (0) and sizes (1).

    ``widths`` and ``seen_at`` (the first message of such a width) are (2, 2, ``WIDTHS``),
    ``places`` (2, ``LAST_PLACES``, ``CLASSES``): all that the inference of exponents and steps
    needs to know, however long the recording. ``base`` is the number of the first message.
    """
    for i in range(messages.shape[0]):
        if messages[i].kind < DEPTH or messages[i].kind > SNAPSHOT:
            continue
        first = messages[i].level
        for number in range(first, first + messages[i].bids + messages[i].asks):
            level = levels[number]
            start, stop = level.price, level.price_stop
            _measure_number(buf, start, stop, base + i, 0, widths, seen_at, places)
            start, stop = level.quantity, level.quantity_stop
            _measure_number(buf, start, stop, base + i, 1, widths, seen_at, places)


@kernel
def _is_wider(buf: Bytes, start: int, stop: int, most: Int64) -> bool:
    if significant_decimals(buf, start, stop) > most[DECIMALS]:
        return True
    wider: bool = _digits_before(buf, start, stop) > most[DIGITS]
    return wider


@kernel
def widest(buf: Bytes, messages: Records, levels: Records, most: Int64, found: Int64) -> None:
    """Note in ``found``, a row a message, the first level whose price or size is too wide, or -1.

    ``most`` is (2, 2): digits after and before the point, of prices and of sizes.
    """
    for i in range(messages.shape[0]):
        found[i] = -1
        if messages[i].kind < DEPTH or messages[i].kind > SNAPSHOT:
            continue
        first = messages[i].level
        for number in range(first, first + messages[i].bids + messages[i].asks):
            level = levels[number]
            wide = _is_wider(buf, level.price, level.price_stop, most[0])
            if wide or _is_wider(buf, level.quantity, level.quantity_stop, most[1]):
                found[i] = number
                break


@inlined
def append_bytes(out: Bytes, at: int, source: Bytes, start: int, stop: int) -> int:
    """Copy ``source[start:stop]`` to ``out[at:]``; the position behind it."""
    for i in range(stop - start):
        out[U(at + i)] = source[U(start + i)]
    return at + stop - start


@kernel
def append_integer(out: Bytes, at: int, value: int) -> int:
    """Write the digits of an integer that is not negative; the position behind them."""
    digits = 1
    rest = value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for i in range(at + digits - 1, at - 1, -1):
        out[i] = 48 + value % 10
        value //= 10
    return at + digits


@kernel
def journal_lines(
    buf: Bytes,
    messages: Records,
    start: int,
    stop: int,
    names: Bytes,
    name_stops: Int64,
    out: Bytes,
) -> int:
    """Write the lines ``start`` … ``stop`` that are kept into ``out``; bytes written.

    ``names[name_stops[k - 1]:name_stops[k]]`` is the stream of kind ``k`` where the line has none.
    """
    at = 0
    for i in range(start, stop):
        kind = messages[i].kind
        if kind < DEPTH or kind > OTHER:
            continue
        at = append_bytes(out, at, _HEAD, 0, _HEAD.size)
        at = append_integer(out, at, messages[i].recv)
        at = append_bytes(out, at, _STREAM, 0, _STREAM.size)
        if messages[i].stream_stop > 0:
            at = append_bytes(out, at, buf, messages[i].stream, messages[i].stream_stop)
        else:
            at = append_bytes(out, at, names, name_stops[kind - 1], name_stops[kind])
        at = append_bytes(out, at, _CONN, 0, _CONN.size)
        at = append_bytes(out, at, buf, messages[i].payload, messages[i].payload_stop)
        at = append_bytes(out, at, _TAIL, 0, _TAIL.size)
    return at


@kernel
def _find(buf: Bytes, start: int, stop: int, table: Bytes, sizes: Int64, used: int) -> int:
    for k in range(used):
        if sizes[k] == stop - start:
            i = 0
            while i < sizes[k] and table[k, i] == buf[start + i]:
                i += 1
            if i == sizes[k]:
                return k
    return -1


@kernel
def count_streams(
    buf: Bytes,
    messages: Records,
    names: Bytes,
    name_stops: Int64,
    table: Bytes,
    sizes: Int64,
    counts: Int64,
    used: int,
) -> int:
    """Count kept lines per stream and note the stream's number in ``NAME``; streams known now.

    ``table`` is (``MAX_STREAMS``, ``MAX_NAME_BYTES``): the names in order of appearance. What it
    cannot hold is counted in the last row of ``counts``.
    """
    for i in range(messages.shape[0]):
        kind = messages[i].kind
        if kind < DEPTH or kind > OTHER:
            continue
        source = buf
        start = messages[i].stream
        stop = messages[i].stream_stop
        if stop == 0:
            source = names
            start = name_stops[kind - 1]
            stop = name_stops[kind]
        found = _find(source, start, stop, table, sizes, used)
        if found < 0 and used < MAX_STREAMS and stop - start <= MAX_NAME_BYTES:
            found = used
            used += 1
            sizes[found] = append_bytes(table[found], 0, source, start, stop)
        messages[i].name = found
        counts[found] += 1
    return used
