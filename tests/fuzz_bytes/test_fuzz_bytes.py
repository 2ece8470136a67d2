"""A small part of the fuzz of bytes, always the same; ``make fuzz-bytes`` has half an hour."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from fuzz_bytes.__main__ import NAMES
from fuzz_bytes.finding import Finding
from fuzz_bytes.mutate import mutations
from fuzz_bytes.targets import TARGETS

pytestmark = pytest.mark.kernels

COUNTS = {"import": 100, "parquet": 150, "parquet-changed": 300, "parquet-noise": 100}
"""Mutations of the slow ones."""
PLAIN = os.environ.get("NUMBA_DISABLE_JIT") == "1"


def test_the_command_knows_the_targets() -> None:
    assert tuple(TARGETS) == NAMES


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of floats, where kernels are plain Python
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert max(map(len, seeds)) <= target.longest
    inputs = mutations(seeds, target.tokens, random.Random(name))
    count = COUNTS.get(name, 600)
    chosen = [*seeds, *islice(inputs, count // 8 if PLAIN else count)]
    for data in chosen:
        try:
            target.run(data)
        except Exception as error:
            told = base64.b64encode(data).decode()
            pytest.fail(
                f"{type(error).__name__}: {error}\n"
                f"again: PYTHONPATH=tests python -m fuzz_bytes --target {name} --input '{told}'"
            )


def test_an_input_is_repeated_by_the_command() -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "fuzz_bytes", "--target", "decimals", "--input"]
    done = subprocess.run(
        [*command, base64.b64encode(b"\x0812.5").decode()],
        env=os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing is wrong" in done.stdout


def test_a_wrong_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz_bytes.lines.count_of", lambda text, exponent: 0)
    with pytest.raises(Finding, match="of"):
        TARGETS["recording"].run(next(TARGETS["recording"].seeds()))
