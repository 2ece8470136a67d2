"""``SealedFile``: a file as a seal lists it, and what of it is not so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lobproof.errors import InputError
from lobproof.files import below
from lobproof.parquet import read_footer
from lobproof.store.hashing import file_hash, table_hash
from lobproof.store.parts import stored_document


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as a seal lists it; ``path`` is relative to the table's folder."""

    path: str
    rows: int
    size: int  # bytes
    hash: str  # of its content
    bytes_hash: str

    def at_a_glance(self, folder: Path, head: bytes) -> str:
        """What is wrong with the file, by its size and its footer alone; empty if nothing is.

        The footer holds the leaves of the content's hash: another file under this name shows,
        bytes that were changed behind it do not. ``head`` is what the table's hash starts with.
        """
        path = below(folder, self.path)
        if not path.is_file():
            return "does not exist"
        try:
            size = path.stat().st_size
            if size != self.size:
                return f"has {size:,} bytes, where {self.size:,} were sealed"
            footer = read_footer(path)
            leaves = stored_document(footer)[1]
        except (OSError, ValueError, pa.ArrowException, InputError) as error:
            return f"cannot be read: {error}"
        if footer.num_rows != self.rows:
            return f"has {footer.num_rows:,} rows, where {self.rows:,} were sealed"
        if table_hash(head, [(self.rows, leaves)]) != self.hash:
            return "is another file than the one that was sealed"
        return ""

    def by_its_bytes(self, folder: Path) -> str:
        """What is wrong with the file's bytes; empty if nothing is."""
        try:
            same = file_hash(below(folder, self.path)) == self.bytes_hash
        except OSError as error:
            return f"cannot be read: {error}"
        return "" if same else "holds other bytes than were sealed"
