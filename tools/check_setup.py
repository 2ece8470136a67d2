"""Check that the locks are complete, and that they alone decide what is installed.

Makes the environment of ``make`` in a copy of this checkout with the oldest pip in use, the newest,
and uv, and compares what is there with the lock: nothing else may be installed, every pin has a
version and hashes, and whatever a package asks for, extras included, is pinned. So no newer release
of anything can break a clone. ``make check-setup`` runs it (``OTHERS=1``: the environments of the
peers, of lakeapi and of the fuzzer too). Exit 1 with one line a finding.
"""

from __future__ import annotations

import ensurepip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements/dev.lock"
OTHERS = {
    "benchmarks/peers.txt": ".venv-peers",
    "benchmarks/lakeapi.txt": ".venv-lakeapi",
    "requirements/fuzz.txt": ".venv-fuzz",
}
OLDEST_PIP = {(3, 11): "23.0", (3, 12): "23.2", (3, 13): "24.2"}
"""The pip that first ran on a Python, or that distributions still ship with it."""
TOOLS = {"pip", "setuptools", "lobproof"}
"""What an environment has beside the pins."""
OUTSIDE = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""What would lead a fresh clone to an environment that is there already."""


@dataclass(frozen=True)
class Pin:
    """One line of a lock."""

    name: str
    extras: frozenset[str]
    version: str


def read_pins(text: str) -> tuple[dict[str, Pin], list[str]]:
    """The pins of a lock that apply to this Python, by name, and what is wrong with its lines."""
    pins: dict[str, Pin] = {}
    wrong: list[str] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        spec, *hashes = line.split(" --hash=")
        requirement = Requirement(spec)
        exact = re.fullmatch(r"==([^*]+)", str(requirement.specifier))
        if not exact:
            wrong.append(f"{spec.strip()}: no version is pinned with ==")
            continue
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", one) for one in hashes):
            wrong.append(f"{spec.strip()}: no hash")
        if requirement.marker is None or requirement.marker.evaluate():
            name = canonicalize_name(requirement.name)
            pins[name] = Pin(name, _names(requirement.extras), exact[1])
    return pins, wrong


def _names(extras: Iterable[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(extra) for extra in extras)


def unpinned(
    pins: Mapping[str, Pin], packages: Iterable[Distribution], wanted: Mapping[str, list[str]]
) -> list[str]:
    """What the installed packages, or ``wanted`` (who → requirements), ask for beyond the pins."""
    asked = {
        who: [line for line in lines if _applies(Requirement(line), frozenset())]
        for who, lines in wanted.items()
    }
    for package in packages:
        pin = pins.get(canonicalize_name(package.name))
        # The project itself is no pin: the lock has all of its extras.
        extras = pin.extras if pin else _names(package.metadata.get_all("Provides-Extra") or ())
        asked[f"{package.name} {package.version}"] = [
            line for line in package.requires or () if _applies(Requirement(line), extras)
        ]
    found = []
    for who, lines in asked.items():
        for requirement in map(Requirement, lines):
            pin = pins.get(canonicalize_name(requirement.name))
            plain = f"{who} asks for {str(requirement).partition(';')[0].strip()}"
            if pin is None:
                found.append(f"{plain}, which is not pinned")
            elif not requirement.specifier.contains(pin.version, prereleases=True):
                found.append(f"{plain}; pinned is {pin.version}")
            elif lacking := sorted(_names(requirement.extras) - pin.extras):
                found.append(f"{plain}; pinned is {pin.name} without [{','.join(lacking)}]")
    return found


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def differences(pins: Mapping[str, Pin], installed: Mapping[str, str]) -> list[str]:
    """Where an environment (name → version) has other packages than its lock."""
    found = [
        f"{name} {version} is installed, and not pinned"
        for name, version in installed.items()
        if name not in pins and name not in TOOLS
    ]
    for pin in pins.values():
        if pin.name not in installed:
            found.append(f"{pin.name} {pin.version} is pinned, and not installed")
        elif installed[pin.name] != pin.version:
            found.append(f"{pin.name} {installed[pin.name]} is installed, pinned is {pin.version}")
    return found


class SetupError(Exception):
    """A command of a set-up failed; its text ends with what the command said."""


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        last = "\n    ".join(done.stdout.splitlines()[-15:])
        raise SetupError(f"{' '.join(map(str, command))} failed:\n    {last}")
    return done.stdout


def copy_checkout(target: Path) -> None:
    """What git tracks or would track, as a clone has it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def outside() -> dict[str, str]:
    """The process environment of somebody who has just cloned, with this very Python."""
    environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    own = str(Path(sys.executable).parent)
    places = environment.get("PATH", "").split(os.pathsep)
    environment["PATH"] = os.pathsep.join(place for place in places if place != own)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    environment["PYTHON"] = str(Path(sys.base_prefix) / "bin" / f"python{version}")
    environment["PIP_NO_COMPILE"] = "1"  # bytecode is no part of the question
    return environment


def get_uv(folder: Path) -> Path:
    """A folder that holds uv and nothing else, for PATH."""
    alone = folder / "uv-alone"
    alone.mkdir()
    found = shutil.which("uv")
    if found is None:
        subprocess.run([sys.executable, "-m", "venv", folder / "uv"], check=True)
        pip = folder / "uv" / "bin" / "pip"
        subprocess.run([pip, "--disable-pip-version-check", "install", "-qq", "uv"], check=True)
        found = str(folder / "uv" / "bin" / "uv")
    (alone / "uv").symlink_to(found)
    return alone


def check_environment(
    way: str, checkout: Path, lock: str, environment: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Make one environment and compare it with its lock; what was seen, and what is wrong."""
    began = time.perf_counter()
    pins, _ = read_pins((checkout / lock).read_text(encoding="utf-8"))
    place = checkout / OTHERS.get(lock, ".venv")
    wanted: dict[str, list[str]] = {}
    try:
        if lock == LOCK:
            said = _run(["make", "setup"], checkout, environment)
            project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
            wanted["the build"] = [
                *project["build-system"]["requires"],
                *project["dependency-groups"]["build"],
            ]
        else:
            said = _run(["sh", "tools/setup.sh", place, lock], checkout, environment)
        made = re.search(r"done, by (.*)\.$", said, flags=re.MULTILINE)
        python = place / "bin" / "python"
        built = ""
        if lock == LOCK:
            alone = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist"]
            _run([python, "-m", "pip", "wheel", *alone, "."], checkout, environment)
            version = _run([place / "bin" / "lobproof", "--version"], checkout, environment)
            built = f"; its wheel is built, lobproof {version.strip()} answers"
    except SetupError as error:
        return f"{way}: {lock}", [str(error)]
    site = next(place.glob("lib/python*/site-packages"))
    packages = {str(canonicalize_name(one.name)): one for one in distributions(path=[str(site)])}
    ours = [package for name, package in packages.items() if name in pins or name == "lobproof"]
    installed = {name: package.version for name, package in packages.items()}
    found = differences(pins, installed) + unpinned(pins, ours, wanted)
    by = made[1] if made else "nobody knows what"
    if not by.startswith(way):
        if way == "uv":  # it has index settings of its own, and pip steps in: no fault of the lock
            by = f"uv could not, {by} did"
        else:
            found.append(f"made by {by}, not by {way}")
    beside = ", ".join(sorted(set(installed) - set(pins))) or "nothing"
    seen = (
        f"{by}: {len(installed)} packages for {lock}, its {len(pins)} pins "
        f"and {beside}{built}; {time.perf_counter() - began:.0f} s"
    )
    return seen, found


def main() -> int:
    """Check every lock and make the environments; return the exit code."""
    failed = 0
    for lock in (LOCK, *OTHERS):
        pins, wrong = read_pins((ROOT / lock).read_text(encoding="utf-8"))
        print(f"{lock}: {len(pins)} pins apply to this Python, {len(wrong)} lines are incomplete")
        for line in wrong:
            print(f"  FAILED {line}")
        failed += bool(wrong)
    oldest = OLDEST_PIP.get((sys.version_info[0], sys.version_info[1]), ensurepip.version())
    locks = (LOCK, *OTHERS) if os.environ.get("OTHERS") else (LOCK,)
    with tempfile.TemporaryDirectory(prefix="lobproof-setup-") as name:
        folder = Path(name)
        plain = outside()
        uv = plain | {"PATH": f"{get_uv(folder)}{os.pathsep}{plain['PATH']}"}
        ways = {
            f"pip {oldest}": plain | {"WITH_PIP": f"pip=={oldest}"},
            "pip": plain | {"WITH_PIP": "pip"},
            "uv": uv,
        }
        for way in ways:
            copy_checkout(folder / way)
        with ThreadPoolExecutor(2) as pool:
            tasks = [
                pool.submit(check_environment, way, folder / way, lock, environment)
                for lock in locks
                for way, environment in ways.items()
            ]
            for task in tasks:
                seen, found = task.result()
                print(seen, flush=True)
                for line in found:
                    print(f"  FAILED {line}")
                failed += bool(found)
    print(f"check-setup: {len(tasks) + 1 + len(OTHERS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
