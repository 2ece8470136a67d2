"""Check that an installed wheel works: each extra, with the lock's, the newest and oldest versions.

In clean environments every command's ``--help`` starts, or names the extra that it lacks and how
to install it; then the commands run, from a simulated recording to a verified store and, against a
fake bucket, from a download to a certificate. The oldest versions are the lower bounds in
pyproject.toml. ``make check-install`` runs it; names of cases (``lowest-acquire-report``) as
arguments choose among them. Exit 1 with one line a finding.

With ``QUICK=1`` (as CI has it) only what is most likely to break is tried, with the kernels as
plain Python, and what fails with other versions than the lock's is a warning: a release of
somebody else's must not turn a commit red that was green.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUICK = bool(os.environ.get("QUICK"))
MINUTES = "0.02" if QUICK else "0.3"
ALL = frozenset({"acquire", "capture", "encrypt", "fidelity", "report", "s3", "telemetry"})
"""The extras."""
CORE = {"import", "reconstruct", "verify", "inspect", "simulate", "derive-lake"}
"""Commands that must run without any extra."""
LISTED = """
from lobproof.cli import app
for name in (*app, *(f"acquire {name}" for name in app["acquire"])):
    if "-" not in (name[0], name[-1]) and " -" not in name:
        print(name)
"""
CHAIN = (
    f"simulate --out sim --minutes {MINUTES} --snapshot-every 5",
    "import sim/*.gz --out golden",
    "reconstruct golden --out store",
    "verify store --against golden",
    "inspect store",
    "derive-lake golden --out lake",
    "reconstruct lake --out from-lake",
    "verify from-lake --lake lake",
)
REPORT = ("report store --out report.html", f"demo --minutes {MINUTES}")
ACQUIRE = (
    "acquire test-connection --sample",
    "acquire list-inventory --sample",
    "acquire download --sample --out bought --yes",
    "acquire validate bought",
    "acquire certify bought --allow-synthetic",
    "acquire status bought",
    "doctor bought",
)
SERVE = ("serve --simulate --preset nexo --speed 100 --duration 20s",)
ENCRYPT = ("golden check golden --identity key.txt",)
KEY = "import pyrage; print(pyrage.x25519.Identity.generate())"
ERROR = 3
"""Exit code of what could not run. 1 and 2 are verdicts: a market so short may well get one."""


@dataclass(frozen=True)
class Case:
    """One clean environment: of which versions, with which extras."""

    versions: str
    extras: frozenset[str]

    @property
    def name(self) -> str:
        """For people, and for a folder."""
        return f"{self.versions}-{'-'.join(sorted(self.extras)) or 'core'}"


def cases() -> list[Case]:
    """All combinations, or those that break first."""
    none = frozenset[str]()
    if QUICK:
        worst = [("lock", none), ("newest", none), ("newest", ALL), ("lowest", ALL)]
        return [Case(versions, extras) for versions, extras in worst]
    kinds = (none, *(frozenset({extra}) for extra in sorted(ALL)), ALL)
    return [Case(versions, extras) for versions in ("lock", "newest", "lowest") for extras in kinds]


class Failed(Exception):
    """A command did what it must not do; the text says so in one piece."""


def call(command: Sequence[str | Path], environment: Mapping[str, str]) -> str:
    """Run a command that must succeed; returns what it printed."""
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise Failed(f"{shlex.join(map(str, command))}: {done.stderr.strip() or done.stdout}")
    return done.stdout


class Installed:
    """A clean environment with the wheel in it."""

    def __init__(self, case: Case, folder: Path, uv: Path, wheel: Path) -> None:
        """Make it; ``uv`` takes the versions that the case names."""
        self.case, self.place = case, folder / case.name
        self.bin, self.work = self.place / "bin", self.place / "work"
        kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "XDG_CACHE_HOME": str(self.place / "cache"),
            "COLUMNS": "200",
        }
        if QUICK:
            self.environment["NUMBA_DISABLE_JIT"] = "1"
        call([uv, "venv", "--quiet", "--python", sys.executable, self.place], os.environ)
        self.work.mkdir()
        what = f"{wheel}[{','.join(sorted(case.extras))}]" if case.extras else str(wheel)
        how: dict[str, list[str | Path]] = {
            "lock": ["--constraint", self._constraints()],
            "newest": ["--upgrade"],
            "lowest": ["--resolution", "lowest-direct"],
        }
        here: list[str | Path] = ["--quiet", "--python", self.bin / "python"]
        call([uv, "pip", "install", *here, *how[case.versions], what], os.environ)
        call([uv, "pip", "check", *here], os.environ)

    def _constraints(self) -> Path:
        lock = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
        pins = re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?(==[^\\\n]*)", lock, flags=re.MULTILINE)
        path = self.place / "constraints.txt"
        path.write_text("".join(f"{name}{rest}\n" for name, rest in pins), encoding="utf-8")
        return path

    def lobproof(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one command; ``*`` in its arguments are matched as a shell would."""
        words: list[str] = []
        for word in shlex.split(line):
            found = sorted(str(path) for path in self.work.glob(word)) if "*" in word else [word]
            words += found
        done = subprocess.run(
            [self.bin / "lobproof", *words],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if "Traceback" in done.stderr:
            raise Failed(f"lobproof {line}: a traceback\n{done.stderr[-3000:]}")
        return done

    def lacks(self, done: subprocess.CompletedProcess[str]) -> bool:
        """Whether a command refused in two lines, for an extra that is not installed here."""
        said = re.fullmatch(
            r"error: this needs the package [\w.-]+, which is not installed\n"
            r"Hint: pip install 'lobproof\[(\w+)\]'[^\n]*\n",
            done.stderr,
        )
        return done.returncode == ERROR and said is not None and said[1] not in self.case.extras

    def check_help(self) -> tuple[int, int]:
        """Every command's help; how many showed it, and how many named the extra they lack."""
        names = call([self.bin / "python", "-c", LISTED], self.environment).splitlines()
        if not {*CORE, "report", "demo", "acquire"} < set(names):
            raise Failed(f"the commands are only {', '.join(names)}")
        shown, refused = ["lobproof"], []
        if "Usage" not in self.lobproof("--help").stdout:
            raise Failed("lobproof --help shows no help")
        for name in names:
            done = self.lobproof(f"{name} --help")
            if done.returncode == 0 and f"Usage: lobproof {name}" in done.stdout:
                shown.append(name)
            elif self.lacks(done) and name not in CORE:
                refused.append(name)
            else:
                raise Failed(f"lobproof {name} --help: exit {done.returncode}\n{done.stderr}")
        return len(shown), len(refused)

    def check_commands(self, lines: Sequence[str], extra: str = "") -> int:
        """Run commands: all must run, or refuse where their extra is missing; returns how many."""
        for line in lines:
            done = self.lobproof(line)
            if extra and extra not in self.case.extras:
                if not self.lacks(done):
                    raise Failed(f"lobproof {line}: does not say that it lacks {extra}")
            elif done.returncode not in (0, 1, 2):
                raise Failed(f"lobproof {line}: exit {done.returncode}\n{done.stderr}")
        return len(lines)


def check(case: Case, folder: Path, uv: Path, wheel: Path, bucket: str) -> tuple[str, str]:
    """Make one environment and try everything in it; what was seen, and what is wrong, if any."""
    began = time.perf_counter()
    try:
        made = Installed(case, folder, uv, wheel)
        shown, refused = made.check_help()
        ran = 0
        # One environment of each versions runs everything; in the others refusals are of interest.
        whole = case.extras == ALL
        if whole:
            ran += made.check_commands(CHAIN)
        if whole or "report" not in case.extras:
            ran += made.check_commands(REPORT, "report")
        if whole or "capture" not in case.extras:
            ran += made.check_commands(SERVE, "capture")
        if whole:
            key = call([made.bin / "python", "-c", KEY], made.environment)
            (made.work / "key.txt").write_text(key, encoding="utf-8")
        if whole or "encrypt" not in case.extras:
            ran += made.check_commands(ENCRYPT, "encrypt")
        made.environment["AWS_ENDPOINT_URL"] = bucket
        if (whole and bucket) or "acquire" not in case.extras:
            ran += made.check_commands(ACQUIRE if whole else ACQUIRE[:3], "acquire")
    except Failed as failure:
        return f"{case.name}: failed", str(failure)
    seconds = time.perf_counter() - began
    return (
        f"{case.name}: {shown} commands show their help, {refused} name the extra that they lack; "
        f"{ran} runs; {seconds:.0f} s",
        "",
    )


@contextmanager
def fake_bucket() -> Iterator[str]:
    """The address of a local S3 server with a simulated day in it."""
    settings = {"PYTHONPATH": str(ROOT / "tests"), "MINUTES": "2", "PORT": "0"}
    server = subprocess.Popen(
        [sys.executable, ROOT / "tools" / "serve_lake.py"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        for line in server.stdout or ():
            if found := re.search(r"AWS_ENDPOINT_URL=(\S+)", line):
                yield found[1]
                return
        raise Failed("the fake bucket did not start")
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    """Build the wheel, make the environments, try them; return the exit code."""
    failed = warned = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lobproof-install-")))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        alone = ["--no-deps", "--no-build-isolation", "--no-index"]
        call([*pip, "wheel", "-qq", *alone, "--wheel-dir", folder, ROOT], os.environ)
        wheel = next(folder.glob("lobproof-*.whl"))
        call([*pip, "install", "-qq", "--target", folder / "uv", "uv"], os.environ)
        bucket = "" if QUICK else stack.enter_context(fake_bucket())
        with ThreadPoolExecutor(2) as pool:
            uv = folder / "uv" / "bin" / "uv"
            chosen = [case for case in cases() if case.name in sys.argv[1:] or not sys.argv[1:]]
            tasks = {case: pool.submit(check, case, folder, uv, wheel, bucket) for case in chosen}
            for case, task in tasks.items():
                seen, wrong = task.result()
                print(seen, flush=True)
                if wrong and QUICK and case.versions != "lock":
                    print(f"  WARNING (the lock has other versions): {wrong}")
                    warned += 1
                elif wrong:
                    print(f"  FAILED {wrong}")
                    failed += 1
    passed = len(tasks) - failed - warned
    print(f"check-install: {passed} passed, {failed} failed, {warned} warned of")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
