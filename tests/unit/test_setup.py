"""``tools/setup.sh`` and what watches over it, on a package index of our own in a folder."""

from __future__ import annotations

import base64
import hashlib
import os
import runpy
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "check_setup.py"))


def make_wheel(
    folder: Path, name: str, version: str, *lines: str, tag: str = "py3-none-any"
) -> str:
    """Write a wheel of an empty package; ``lines`` are metadata. Returns its SHA-256."""
    inside = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{inside}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""]
        ),
        f"{inside}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = []
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for place, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record.append(f"{place},sha256={digest.rstrip(b'=').decode()},{len(text)}")
            wheel.writestr(place, text)
        record.append(f"{inside}/RECORD,,")
        wheel.writestr(f"{inside}/RECORD", "\n".join(record) + "\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def set_up(folder: Path, lock: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``tools/setup.sh`` for a lock, with the wheels in a folder as the whole index."""
    pins = folder / "some.lock"
    pins.write_text("\n".join(lock) + "\n", encoding="utf-8")
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"
    environment = {
        "PATH": "/usr/bin:/bin",  # no uv: what pip says is looked at
        "PYTHON": str(base),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_NO_COMPILE": "1",
    }
    return subprocess.run(
        ["sh", str(ROOT / "tools" / "setup.sh"), str(folder / "env"), str(pins)],
        env=environment | settings,
        capture_output=True,
        text=True,
    )


def installed(folder: Path) -> dict[str, str]:
    """What the environment has, name → version, without what every environment has."""
    found = {
        path.name.split("-")[0]: path.name.split("-")[1].removesuffix(".dist")
        for path in (folder / "env").glob("lib/python3*/site-packages/*.dist-info")
    }
    return {name: version for name, version in found.items() if name not in CHECK["TOOLS"]}


@pytest.mark.slow
def test_newer_releases_do_not_enter_an_environment(tmp_path: Path) -> None:
    """Not even of what a pinned package asks for with an extra, which misled pip's resolver."""
    hashes = {
        "first": make_wheel(tmp_path, "first", "1.0", "Requires-Dist: second[more]>=1"),
        "second": make_wheel(
            tmp_path, "second", "1.0", "Provides-Extra: more", 'Requires-Dist: third; extra=="more"'
        ),
        "third": make_wheel(tmp_path, "third", "1.0"),
    }
    for name in hashes:
        make_wheel(tmp_path, name, "2.0")
    done = set_up(tmp_path, [f"{name}==1.0 --hash=sha256:{of}" for name, of in hashes.items()])
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path) == {"first": "1.0", "second": "1.0", "third": "1.0"}


@pytest.mark.slow
def test_a_package_that_the_lock_lacks_is_named(tmp_path: Path) -> None:
    digest = make_wheel(tmp_path, "first", "1.0", "Requires-Dist: second>=1")
    make_wheel(tmp_path, "second", "1.0")
    done = set_up(tmp_path, [f"first==1.0 --hash=sha256:{digest}"])
    assert done.returncode == 1
    assert "first 1.0 requires second, which is not installed" in done.stderr
    assert "Hint:" in done.stderr
    assert "make lock" in done.stderr


def test_a_file_that_was_exchanged_is_refused_and_told_as_that(tmp_path: Path) -> None:
    make_wheel(tmp_path, "first", "1.0")
    done = set_up(tmp_path, [f"first==1.0 --hash=sha256:{'0' * 64}"])
    assert done.returncode == 1
    assert "Hint: what came is not what" in done.stderr
    assert installed(tmp_path) == {}


@pytest.mark.slow
def test_no_wheel_for_this_python_is_told_as_that_and_nothing_is_built(tmp_path: Path) -> None:
    digest = make_wheel(tmp_path, "first", "1.0", tag="cp27-cp27m-any")
    (tmp_path / "first-1.0.tar.gz").write_bytes(b"a source that must not be built")
    done = set_up(tmp_path, [f"first==1.0 --hash=sha256:{digest}"])
    assert done.returncode == 1
    assert "no ready-made package (wheel)" in done.stderr
    assert f"Python 3.{sys.version_info[1]} on this machine" in done.stderr


def test_an_index_out_of_reach_is_told_as_that(tmp_path: Path) -> None:
    done = set_up(
        tmp_path,
        [f"first==1.0 --hash=sha256:{'0' * 64}"],
        PIP_NO_INDEX="0",
        PIP_INDEX_URL="http://127.0.0.1:9/simple",  # the port of "discard": nobody listens
        PIP_RETRIES="1",
    )
    assert done.returncode == 1
    assert "Hint: pip's package index was not reached" in done.stderr


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (f"first==1.0 --hash=sha256:{'0' * 64}", False),
        (f"first[more]==1.0 ; python_version > '3' \\\n    --hash=sha256:{'0' * 64}", False),
        ("first==1.0", True),
        (f"first>=1.0 --hash=sha256:{'0' * 64}", True),
        (f"first==1.* --hash=sha256:{'0' * 64}", True),
        (f"first --hash=sha256:{'0' * 64}", True),
        ("first==1.0 --hash=md5:00", True),
    ],
)
def test_each_line_of_a_lock_needs_a_version_and_a_hash(line: str, wrong: bool) -> None:
    assert bool(CHECK["read_pins"](line)[1]) is wrong


@pytest.mark.parametrize(
    ("asked", "pinned", "said"),
    [
        ("second>=1", "second==1.0", None),
        ("second[more]>=1", "second[more]==1.0", None),
        ("second[more]>=1", "second==1.0", "second without [more]"),
        ("second>=2", "second==1.0", "pinned is 1.0"),
        ("second>=1", "third==1.0", "not pinned"),
        ("second; python_version < '3'", "third==1.0", None),
        ("second; extra == 'more'", "third==1.0", None),
        ("second; extra == 'own'", "third==1.0", "not pinned"),
    ],
)
def test_what_a_package_asks_for_beyond_the_pins_is_found(
    asked: str, pinned: str, said: str | None, tmp_path: Path
) -> None:
    (tmp_path / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: first\nVersion: 1.0\nRequires-Dist: {asked}\n"
        "Provides-Extra: own\nProvides-Extra: more\n"
    )
    pins, _ = CHECK["read_pins"](f"first[own]==1.0\n{pinned}")
    found = CHECK["unpinned"](pins, [PathDistribution(tmp_path)], {})
    assert [said in line for line in found] == ([] if said is None else [True])


def test_an_environment_beside_its_lock() -> None:
    pins, _ = CHECK["read_pins"]("first==1.0\nsecond==1.0")
    same = {"first": "1.0", "second": "1.0", "pip": "23.0"}
    assert CHECK["differences"](pins, same) == []
    assert CHECK["differences"](pins, same | {"first": "1.1"}) != []
    assert CHECK["differences"](pins, same | {"third": "1.0"}) != []
    assert CHECK["differences"](pins, {"first": "1.0"}) != []


@pytest.mark.parametrize("lock", [CHECK["LOCK"], *CHECK["OTHERS"]])
def test_the_locks_are_complete(lock: str) -> None:
    pins, wrong = CHECK["read_pins"]((ROOT / lock).read_text(encoding="utf-8"))
    assert wrong == []
    assert len(pins) > 20


def test_the_lock_has_what_the_project_asks_for_with_every_extra() -> None:
    pins, _ = CHECK["read_pins"]((ROOT / CHECK["LOCK"]).read_text(encoding="utf-8"))
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {
        "the project": said["project"]["dependencies"],
        "the build": said["build-system"]["requires"],
        **said["project"]["optional-dependencies"],
        **said["dependency-groups"],
    }
    assert CHECK["unpinned"](pins, [], wanted) == []
