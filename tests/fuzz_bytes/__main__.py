"""Run the fuzz targets: ``python -m fuzz_bytes --minutes 30``, or one of them, or one input.

With atheris mutations are guided by the coverage of lobproof, whose kernels then run as plain
Python; each target has a process of its own, bounded in memory and in time per input. What is found
is printed with the command that repeats it, which needs no atheris.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

NAMES = (
    "recording",
    "journal",
    "import",
    "frames",
    "frames-damaged",
    "decimals",
    "parquet",
    "parquet-changed",
    "parquet-noise",
)
MEGABYTES = 2048
SECONDS = 60
"""Of one input, which takes up to a second on a machine that does nothing else."""
UNGUIDED = {"parquet": ["lobproof.parquet_kernels"]}
"""Modules of which no coverage is taken: sound footers are walked in one way, and slowly then."""


def main() -> int:
    """Run from the command line; 1 where anything was found."""
    arguments = argparse.ArgumentParser(prog="python -m fuzz_bytes")
    arguments.add_argument("--minutes", type=float, default=30.0, help="of all targets together")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--target", action="append", choices=NAMES, help="only this one")
    arguments.add_argument("--corpus", type=Path, help="a folder to keep inputs in, for later runs")
    arguments.add_argument("--input", help="run this one input, in base64, and nothing else")
    arguments.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    names = given.target or NAMES
    if given.input is not None:
        from fuzz_bytes.targets import TARGETS

        TARGETS[names[0]].run(base64.b64decode(given.input))
        print("nothing is wrong with this input")
        return 0
    if given.child:
        return guided(names[0], given.minutes, given.seed, given.corpus)
    found = 0
    for name in names:
        found += run(name, given.minutes / len(names), given.seed, given.corpus)
    print(f"{len(names)} targets, {given.minutes:g} minutes: {found} with a finding")
    return int(found > 0)


def run(name: str, minutes: float, seed: int, corpus: Path | None) -> bool:
    """Fuzz one target in a process of its own; whether it found something, which is printed."""
    with TemporaryDirectory() as folder:
        place = (corpus or Path(folder)).absolute() / name
        crashes = Path(folder) / "crashes"
        place.mkdir(parents=True, exist_ok=True)
        crashes.mkdir()
        command = [sys.executable, "-m", "fuzz_bytes", "--child", "--target", name]
        command += [f"--minutes={minutes}", f"--seed={seed}", f"--corpus={place}"]
        log = Path(folder) / "log"
        with log.open("wb") as out:
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ
                | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        told = log.read_text("utf-8", "replace").splitlines()
        inputs = sorted(path for path in crashes.iterdir() if not path.name.startswith("slow"))
        runs = [line for line in told if line.startswith(("stat::number_of_executed", "#"))]
        runs = [line for line in runs if "executed" in line] or runs[-1:]
        print(f"{name}: {runs[-1].split()[-1] if runs else '?'} inputs", flush=True)
        if done.returncode == 0 and not inputs:
            return False
        print("\n".join(told[-40:]))
        for path in inputs:
            data = base64.b64encode(path.read_bytes()).decode()
            print(f"again: PYTHONPATH=tests python -m fuzz_bytes --target {name} --input '{data}'")
        return True


def guided(name: str, minutes: float, seed: int, corpus: Path) -> int:
    """Fuzz one target within this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["lobproof"], exclude=UNGUIDED.get(name, [])):
        from fuzz_bytes.targets import TARGETS
    target = TARGETS[name]
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number:04}").write_bytes(data)
    words = Path("tokens.txt")
    words.write_text(
        "".join(
            f'"{"".join(f"{chr(92)}x{byte:02x}" for byte in token)}"\n' for token in target.tokens
        )
    )
    options = [
        f"-max_total_time={int(minutes * 60)}",
        f"-seed={seed}",
        f"-max_len={target.longest}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-timeout={SECONDS}",
        "-artifact_prefix=crashes/",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    if target.tokens:
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
