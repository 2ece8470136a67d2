"""Mutations of every document that is read from disk; ``make fuzz-documents`` has many more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from fuzz.documents import GIB, Kind, Memory, World, mutations, run

NAMES = (
    "golden",
    "derived",
    "simulation",
    "marker",
    "certificate",
    "fidelity-report",
    "dataset-certificate",
    "manifest",
    "audit",
    "note",
    "seal",
    "log-days-0",
    "log-days-1",
    "log-events-0",
    "log-events-1",
    "log-saved",
    "log-last",
    "leaves",
    "checkpoint",
    "index",
    "exchange-info",
    "journal",
)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Kind]:
    return World(tmp_path_factory.mktemp("documents")).kinds()


def test_every_kind_is_here(kinds: Mapping[str, Kind]) -> None:
    assert tuple(kinds) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_whoever_reads_a_mutated_document_ends_in_an_error_of_ours(
    kinds: Mapping[str, Kind], name: str
) -> None:
    kind, tally, memory = kinds[name], Counter[str](), Memory()
    kind.put(kind.data)
    kind.read()
    assert run(kind, 3, 60, tally) == []
    assert memory.peak < GIB // 2
    kind.read()
    assert len({data for _, data in zip(range(50), mutations(kind, 3), strict=False)}) > 25
