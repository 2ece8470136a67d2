"""Every fault of the catalogue on a real recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fault_catalogue import FAULTS, Fault, Scene
from support.fault_runs import check_fault
from support.faults import Recording

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def scene(real_data: Path) -> Scene:
    """The first file of NEXOUSDT."""
    file = real_data / "binance-spot" / "nexousdt_20240723.gz"
    return Scene(Recording.read([file]).lines[0])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_told(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    check_fault(fault, scene, tmp_path)
