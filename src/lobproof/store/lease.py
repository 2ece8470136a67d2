"""``Leases``: who writes a symbol-day of a store that several machines write to.

A lease is a document of the store, taken and kept by compare-and-swap. Its holder rewrites it every
few seconds; a holder that is gone stops doing so, and whoever has seen the same version for
`PATIENCE_S` of its own clock may take over. No clocks of two machines are compared. Each holder has
a higher epoch than the one before, and what it commits carries that number: a holder that slept
through its own end cannot commit any more.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Annotated, Self

import msgspec

from lobproof import documents
from lobproof.documents import Count
from lobproof.errors import LobproofError, StoreError
from lobproof.store.layout import LOCKS, Partition
from lobproof.store.place import ConflictError, Place

BEAT_S = 15.0
PATIENCE_S = 60.0
"""A lease whose version did not change for so long is nobody's any more."""
_LATE_S = 40.0
"""A holder that could not beat for so long stops by itself, well before it is taken over."""
_Name = Annotated[str, msgspec.Meta(max_length=256)]


class LostLeaseError(StoreError):
    """Another process took the symbol-day over, or the lease could not be kept."""


class Holder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which process it is: of a machine since its start, of a namespace of process ids."""

    host: _Name
    boot: _Name
    namespace: _Name
    pid: Count
    started: Count

    @property
    def is_gone(self) -> bool:
        """Whether it is a process of this machine that does not run any more."""
        here = this_process()
        if (self.host, self.boot, self.namespace) != (here.host, here.boot, here.namespace):
            return False
        return bool(here.boot) and _started(self.pid) != self.started


class LeaseDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lease as it is stored; ``holder`` is None when it was given back.

    ``beats`` counts its rewritings; ``rows`` of ``of_rows`` tell how far the work is.
    """

    epoch: Count
    holder: Holder | None
    token: _Name = ""
    """Tells one taking from another, of the same process too."""
    beats: Count = 0
    stage: _Name = ""
    rows: Count = 0
    of_rows: Count = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A lease that is held: its document, and the version to name when it has not changed."""

    document: LeaseDocument
    version: str


def lease_name(partition: Partition) -> str:
    """The name of a symbol-day's lease, below a store."""
    return f"{LOCKS}/{partition.exchange}.{partition.symbol}.{partition.dt}.lease"


def read_lease(place: Place, partition: Partition) -> Seen | None:
    """The lease of a symbol-day; None if it never had one. A damaged one is nobody's."""
    found = place.read(lease_name(partition))
    if found is None:
        return None
    data, version = found
    try:
        document = documents.as_shape(documents.value_of(data), LeaseDocument)
    except ValueError:
        document = LeaseDocument(0, None)
    return Seen(document, version)


class Lease:
    """A symbol-day that this process may write to; let go of by the end of a ``with``."""

    def __init__(self, place: Place, partition: Partition, mine: LeaseDocument, version: str):
        self.partition = partition
        self.epoch = mine.epoch
        self._place, self._document, self._version = place, mine, version
        self._beaten = time.monotonic()
        self._lost = ""
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @classmethod
    def take(
        cls, place: Place, partition: Partition, *, unchanged: str = "", above: int = 0
    ) -> Lease | None:
        """Take the lease of a symbol-day; None where another process holds it.

        Parameters
        ----------
        above
            The epoch is above this one, whatever the lease says: what the day's commits carry.
        unchanged
            A version that the caller has seen for `PATIENCE_S`: its holder is gone.
        """
        seen = read_lease(place, partition)
        if seen is not None and not _is_free(seen, unchanged):
            return None
        epoch = max(above, 0 if seen is None else seen.document.epoch) + 1
        mine = LeaseDocument(epoch, this_process(), token_hex(8))
        name, old = lease_name(partition), None if seen is None else seen.version
        try:
            version = place.write(name, msgspec.json.encode(mine), old=old)
        except ConflictError:
            return None
        return cls(place, partition, mine, version)

    def tell(self, stage: str, rows: int, of_rows: int) -> None:
        """How far the work is: stands in the lease from its next beat on."""
        with self._guard:
            self._document = msgspec.structs.replace(
                self._document, stage=stage, rows=rows, of_rows=of_rows
            )

    def check(self) -> None:
        """See that the lease is still ours.

        Raises
        ------
        LostLeaseError
            If it is not, or has not been kept for so long that it may not be.
        """
        why = self._lost
        if not why and time.monotonic() - self._beaten > _LATE_S:
            why = f"the store could not be reached for {_LATE_S:.0f} s"
        if why:
            raise LostLeaseError(
                f"The lease of {self.partition} is lost: {why}",
                hint="Another process goes on with it; run the command again to see.",
            )

    def release(self) -> None:
        """Give the lease back; what cannot be given back runs out by itself."""
        self._over.set()
        self._thread.join()
        if not self._lost:
            with suppress(LobproofError), self._guard:
                self._write(msgspec.structs.replace(self._document, holder=None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            with self._guard:
                beaten = msgspec.structs.replace(self._document, beats=self._document.beats + 1)
                try:
                    self._write(beaten)
                except ConflictError:
                    self._lost = "another process has taken it over"
                    return
                except LobproofError:
                    continue  # `check` sees how long it has been

    def _write(self, document: LeaseDocument) -> None:
        began = time.monotonic()
        name = lease_name(self.partition)
        self._version = self._place.write(name, msgspec.json.encode(document), old=self._version)
        self._document, self._beaten = document, began


def _is_free(seen: Seen, unchanged: str) -> bool:
    holder = seen.document.holder
    return holder is None or seen.version == unchanged or holder.is_gone


def this_process() -> Holder:
    """What names this process among all that may write to a store."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: nobody is taken for gone before the lease runs out
        boot = namespace = ""
    pid = os.getpid()
    return Holder(socket.gethostname(), boot, namespace, pid, _started(pid) or 0)


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the machine's start; None if there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = told.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
