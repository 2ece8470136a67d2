"""``lobproof acquire test-connection``."""

from __future__ import annotations

from rich.text import Text

from lobproof.cli.acquire.options import ANYWHERE, Place
from lobproof.cli.console import Json, out, print_json
from lobproof.errors import AccessDeniedError, RemoteError, UnreachableError
from lobproof.sources.cryptolake.bucket.concurrency import run
from lobproof.sources.cryptolake.bucket.connection import Connection
from lobproof.sources.cryptolake.bucket.limits import INDEX_BYTES
from lobproof.sources.cryptolake.bucket.listing import INDEX, is_odd, read_index
from lobproof.sources.cryptolake.bucket.remote import Policy, Remote
from lobproof.sources.cryptolake.layout import TABLES, LakeKey

_POLICY = Policy(attempts=3, total_seconds=60.0, longest_wait=5.0, read_seconds=15.0)

Step = tuple[str, bool, str]
"""What was tried, whether it works, and what was found or why not."""


def try_connection(*, place: Place = ANYWHERE, json_: Json = False) -> int:
    """Try bucket, prefix, index, listing and a small read, and say what works.

    Exit code 0 when all that downloads need works, 1 when something does not.

    Parameters
    ----------
    place
        Where to ask.
    json_
        Print one JSON document.
    """
    connection = place.connect()
    steps, works = run(_steps(connection))
    who = "nobody (unsigned)" if connection.credentials is None else connection.credentials.source
    if json_:
        print_json(
            {
                "place": connection.place,
                "endpoint": connection.endpoint,
                "credentials": who,
                "works": works,
                "steps": [{"step": s, "ok": ok, "detail": detail} for s, ok, detail in steps],
            }
        )
        return 0 if works else 1
    console = out()
    console.print(f"{connection.place} at {connection.endpoint}, as {who}", soft_wrap=True)
    for step, ok, detail in steps:
        line = Text("✓ " if ok else "✗ ", "green" if ok else "bold red")
        line.append(f"{step:9}", "default")
        line.append(detail, "dim" if ok else "default")
        console.print(line, soft_wrap=True)
    return 0 if works else 1


async def _steps(connection: Connection) -> tuple[list[Step], bool]:
    remote = Remote(connection, _POLICY)
    steps: list[Step] = []
    try:
        names = await _folders(remote, "")
    except RemoteError as error:
        # denied: it is there, and downloads can do without the listing
        steps.append(("bucket", isinstance(error, AccessDeniedError), _words(error)))
        if isinstance(error, UnreachableError):
            return steps, False  # nor would anything else be answered
        names = []
    else:
        steps.append(("bucket", True, "listing is allowed"))
        known = [name for name in TABLES if name in names]
        steps.append(
            (
                "prefix",
                bool(known),
                f"has {', '.join(known)}" if known else "has none of our tables",
            )
        )
    index = await _index(remote, steps)
    key = await _listing(remote, steps, index)
    readable = key is not None and await _read(remote, steps, key)
    return steps, readable


async def _index(remote: Remote, steps: list[Step]) -> LakeKey | None:
    """A key of the first table's index; the index may be missing, and downloads still work."""
    path = f"{TABLES[0]}/{INDEX}"
    try:
        keys = read_index(await remote.read(path, limit=INDEX_BYTES), remote.connection.prefix)
    except RemoteError as error:
        steps.append(("index", False, f"{error.message}; listing does instead"))
        return None
    if keys is None:
        steps.append(("index", False, f"{path} is damaged; listing does instead"))
        return None
    steps.append(("index", True, f"{path} names {len(keys):,} objects"))
    good = (text for text in sorted(keys) if not is_odd(text))
    return next((key for text in good if (key := LakeKey.parse(text))), None)


async def _listing(remote: Remote, steps: list[Step], known: LakeKey | None) -> LakeKey | None:
    """List one symbol of the first table; a key to read."""
    top, days, first = TABLES[0], 0, None
    try:
        for kind in ("exchange=", "symbol="):
            names = [name for name in await _folders(remote, top) if name.startswith(kind)]
            if not names:
                steps.append(("listing", False, f"{top} has nothing"))
                return known
            top = f"{top}/{names[0]}"
        async with remote.within(_POLICY.total_seconds):
            async for page in remote.pages(top):
                keys = [key for meta in page.objects if (key := LakeKey.parse(meta.path))]
                days += len(keys)
                first = first or next(iter(keys), None)
    except RemoteError as error:
        steps.append(("listing", False, _words(error)))
        return known
    steps.append(("listing", first is not None, f"{top} has {days:,} days"))
    return first or known


async def _folders(remote: Remote, top: str) -> list[str]:
    async with remote.within(_POLICY.total_seconds):
        return sorted([n async for page in remote.pages(top, folders=True) for n in page.folders])


async def _read(remote: Remote, steps: list[Step], key: LakeKey) -> bool:
    try:
        first = await remote.read_range(key.path, 0, 4)
    except RemoteError as error:
        steps.append(("read", False, _words(error)))
        return False
    good = first == b"PAR1"
    steps.append(("read", good, f"{key} {'can be read' if good else 'is no Parquet file'}"))
    return good


def _words(error: RemoteError) -> str:
    return f"{error.message}. Hint: {error.hint}"
