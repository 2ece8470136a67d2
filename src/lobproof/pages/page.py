"""``report``: the page as one file that needs nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

import msgspec

from lobproof import __version__
from lobproof.documents import as_shape
from lobproof.errors import PlaceError, UsageError, need_extra, visible
from lobproof.fidelity.exact.report import VerifyReport
from lobproof.files import check_place, write_whole
from lobproof.pages.figures.style import COLOURS
from lobproof.pages.survey import sections, survey
from lobproof.pages.words import Section, Verification, check_verified, section
from lobproof.paths import AnyPath, as_path, placing
from lobproof.progress import Progress
from lobproof.store import Store, as_store
from lobproof.timespan import Time, show_ns, to_ns

Proof = VerifyReport | Verification
_CODE = re.compile("`([^`\n]+)`")


class _Said(msgspec.Struct):
    """Of a report of `verify` what the page counts on."""

    verdict: Literal["pass", "fail", "inconclusive"]
    exchange: str
    symbol: str
    checks: list[dict[str, Any]]


def report(
    store: Store | AnyPath,
    out: AnyPath,
    *,
    symbol: str | None = None,
    exchange: str | None = None,
    verification: Proof | Sequence[Proof] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the report page of a store: a self-contained HTML file for offline reading.

    The same store, arguments and version give the same bytes. Events are replayed once, a batch
    at a time, several days side by side. What a day adds up to is kept in the user's cache by the
    day's content hash, so that the next page over it, or over it and more, does not read it again.

    Parameters
    ----------
    store
        From ``lobproof.open``, or its path.
    out
        The file to write; its folder is made if missing, an older file replaced in one step.
    symbol, exchange
        What to show; by default every symbol of the store, one section each.
    verification
        What ``verify`` said (or its ``to_dict()``) of a symbol that is shown; several of them, such
        as one for each golden sample, are shown one by one, and the worst verdict heads the page.
    start, end
        Part of the time to show, by ``ts_order``; ``end`` is exclusive.
    fresh
        Read every event, whatever is kept of earlier pages.
    progress
        Called with the symbol, its events taken in so far, and its events in all.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    PlaceError
        If the page cannot be written where it is to go.
    UsageError
        If ``out`` is a folder, there is no such symbol, the store heard nothing of any of them in
        that time, or the verification is none, is of a symbol that is not shown, of other days
        than are shown, or of what they held before they were made anew.
    ExtraError
        If the packages of the extra ``report`` are not installed.
    """
    need_extra("report")
    out = as_path(out)
    check_page(out)
    store = as_store(store)
    proofs = [_proof(one) for one in _each(verification)]
    shown = sections(store, symbol, exchange)
    for one in proofs:
        if _names(one) not in shown:
            raise UsageError(
                f"The verification is of {' '.join(_names(one))}, which is not shown.",
                hint=f"This page shows {', '.join(' '.join(names) for names in shown)}.",
            )
    parts: list[Section] = []
    empty: list[str] = []
    unheard: UsageError | None = None
    for number, names in enumerate(shown):
        try:
            found = survey(store, *names, start=start, end=end, progress=progress, fresh=fresh)
        except UsageError as error:
            found, unheard = None, error
        if found is None:
            empty.append(" ".join(reversed(names)))
            continue
        ours = [one for one in proofs if _names(one) == names]
        for one in ours:
            check_verified(found, one)
        parts.append(section(found, ours, number))
    if not parts and unheard is not None:
        raise unheard
    return written(out, _render(parts, empty, _limits(start, end)))


def _each(given: Proof | Sequence[Proof] | None) -> list[Proof]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


def _names(proof: Verification) -> tuple[str, str]:
    return proof["exchange"], proof["symbol"]


def _proof(given: Proof) -> Verification:
    """What `verify` said as a document; `UsageError` for what it did not say."""
    found = given.to_dict() if isinstance(given, VerifyReport) else given
    try:
        as_shape(found, _Said)
    except ValueError as error:
        raise UsageError(
            f"A verification is what `lobproof.verify` gives, and no {type(given).__name__}: "
            f"{error}",
            hint="Give the whole report, or its `to_dict()`.",
        ) from error
    return found


def written(out: Path, text: str) -> Path:
    """Write a page or a document as a whole, and its folder; PlaceError where that fails."""
    with placing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, text.encode())
    return out


def check_page(out: Path) -> None:
    """Raise where no page can be written, before the work of it begins.

    Raises
    ------
    UsageError
        If ``out`` is a folder.
    PlaceError
        If it is no plain file, or its folder cannot be made or written to.
    """
    check_place(out)
    if out.is_dir():
        raise UsageError(
            f"{out} is a folder, and the page is one file", hint=f"name it: {out / 'report.html'}"
        )
    there = next(folder for folder in out.absolute().parents if folder.exists())
    if not there.is_dir():
        raise PlaceError(f"{there} is a file", hint=f"choose another place for {out.name}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PlaceError(
            f"{there} cannot be written to", hint=f"choose another place for {out.name}"
        )


def _limits(start: Time | None, end: Time | None) -> str:
    words = [
        f"{name} {show_ns(to_ns(time))}"
        for name, time in (("from", start), ("before", end))
        if time is not None
    ]
    return " ".join(words)


def _visible(value: Any) -> Any:
    """What a template puts in, made visible; what it has rendered itself is so already."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _render(parts: list[Section], empty: list[str], limits: str) -> str:
    return rendered("page.html", {"parts": parts, "empty": empty, "limits": limits})


def rendered(template: str, values: Mapping[str, Any], package: str = __package__) -> str:
    """A page of this look: what a template makes of ``values``.

    Parameters
    ----------
    template
        Name of a file in ``templates`` of this package, or of ``package``, which may extend
        ``base.html``. Its filter ``coded`` is for text that is read, not for attributes.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def coded(text: str) -> Markup:
        """Text for a page, `in ticks` as code."""
        return Markup(_CODE.sub(r"<code>\1</code>", escape(visible(text))))

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["coded"] = coded
    given = {"colours": COLOURS, "version": __version__, **values}
    return environment.get_template(template).render(given)
