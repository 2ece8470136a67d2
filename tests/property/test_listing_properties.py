"""A listing's page, whatever an object of it is said to be: the others are never lost."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.errors import shown
from lobproof.sources.cryptolake.bucket.listing import Meta, NoListingError, is_odd, parse_page
from support.hostile import ETAG, entry, page

ROOT = "top/"
GOOD = [f"trades/exchange=B/symbol=A-B/dt=2026-01-0{n}/1.parquet" for n in (1, 2)]
TEXT = st.text(st.characters(codec=None), max_size=40)


def take(body: bytes) -> tuple[list[Meta], list[str]]:
    made = parse_page(body, ROOT, ROOT, secret=lambda _: False)
    return made.objects, made.skipped


@given(TEXT, TEXT, TEXT, TEXT)
def test_one_odd_object_never_takes_another_down(
    name: str, size: str, etag: str, date: str
) -> None:
    odd = entry(f"{ROOT}{name}", size, etag, date).encode("utf-8", "surrogatepass")
    good = [entry(f"{ROOT}{path}").encode() for path in GOOD]
    body = page("HERE").replace(b"HERE", good[0] + odd + good[1])
    objects, skipped = take(body)
    others = [one for one in objects if one.path not in GOOD or one.etag != ETAG]
    assert [one.path for one in objects if one not in others] == GOOD
    folder = name.endswith("/") or not name
    assert len(others) + len(skipped) == 1 or (folder and size == "0")
    for one in others:
        assert not is_odd(one.path)
        assert one.path.isprintable()
        assert one.etag.isascii()


@given(TEXT)
def test_a_key_is_taken_as_it_is_or_not_at_all(name: str) -> None:
    """Never as another one, of another object."""
    body = page("HERE").replace(b"HERE", entry(f"{ROOT}{name}").encode("utf-8", "surrogatepass"))
    objects, _ = take(body)
    assert [one.path for one in objects] in ([], [name])
    assert bool(objects) is not is_odd(name)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_pages_end_in_one_error(junk: bytes, at: int) -> None:
    body = page(*(entry(f"{ROOT}{path}") for path in GOOD))
    with suppress(NoListingError):
        take(body[:at] + junk + body[at + len(junk) :])


@given(TEXT, st.integers(1, 60))
def test_what_is_shown_is_one_short_line_that_can_be_printed(text: str, most: int) -> None:
    line = shown(text, most)
    assert line.isprintable()
    assert len(line) <= most
    assert line == text or "\\" in line or "…" in line


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\u202eb", "a\x9bb", "a\udcffb", "a\nb"])
def test_what_cannot_be_printed_is_escaped(text: str) -> None:
    assert shown(text).startswith("a\\")
