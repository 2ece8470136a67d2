"""The command line: parse, call, print. Each command's module is loaded when it runs.

Exit codes: 0 done or passed, 1 verification failed, 2 verification inconclusive, 3 an error
(bad input, wrong usage), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from cyclopts import App, CycloptsError

from lobproof import __version__

ERROR = 3
INTERRUPTED = 130


class _Command(NamedTuple):
    """Where a command lives (loaded when it runs), and what its help says."""

    place: str
    help: str
    examples: tuple[str, ...]


_COMMANDS = {
    "import": _Command(
        "importing:import_",
        "Turn recordings into a golden sample, their messages kept byte for byte.",
        (
            "lobproof import btcusdt_20240808.gz btcusdt_20240809.gz --out golden/btc",
            "lobproof import mixed.gz --symbol ETHUSDT --out golden/eth",
        ),
    ),
    "reconstruct": _Command(
        "reconstruct:reconstruct",
        "Replay a golden sample into a store: order book, events, findings.",
        (
            "lobproof reconstruct golden/btc --out store",
            "lobproof reconstruct golden/btc --out store --states 1s --strict",
        ),
    ),
    "verify": _Command(
        "verify:verify",
        "Prove a store against a golden sample, change by change.",
        (
            "lobproof verify store --against golden/btc",
            "lobproof verify store --against golden/btc --json > verdict.json",
        ),
    ),
    "inspect": _Command(
        "inspect:inspect",
        "Show a store or a golden sample on one screen.",
        (
            "lobproof inspect store",
            "lobproof inspect golden/btc --json",
        ),
    ),
    "report": _Command(
        "report:report",
        "Write one offline HTML page about a store.",
        (
            "lobproof report store --out report.html",
            "lobproof report store --against golden/btc --symbol BTC-USDT",
        ),
    ),
    "simulate": _Command(
        "simulate:simulate",
        "Simulate an exchange and record it (synthetic data).",
        (
            "lobproof simulate --out sim --minutes 10",
            "lobproof simulate --out sim-lake --lake --no-recording --minutes 1440 --seed 3",
        ),
    ),
    "demo": _Command(
        "demo:demo",
        "The whole chain on a simulated exchange, with a report to open.",
        (
            "lobproof demo",
            "lobproof demo --minutes 60 --seed 3 --out demo-hour",
        ),
    ),
}

app = App(
    "lobproof",
    help="Recorded market data in; order books that can be trusted out.",
    version=__version__,
    help_format="markdown",
    result_action="return_value",
    help_epilogue=(
        "Exit codes: 0 done or passed, 1 verification failed, 2 inconclusive, 3 error."
        "\n\nStart with `lobproof demo`."
    ),
)
for _name, _command in _COMMANDS.items():
    app.command(
        f"lobproof.cli.{_command.place}",
        name=_name,
        help=_command.help,
        help_epilogue="Examples:\n\n" + "\n\n".join(_command.examples),
    )


def main() -> None:
    """Entry point of the ``lobproof`` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors go to standard error, without a traceback."""
    from lobproof.errors import LobproofError

    try:
        result = app(arguments, exit_on_error=False)
    except CycloptsError:
        return ERROR  # cyclopts has said what is wrong
    except LobproofError as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        print(
            "\ninterrupted: nothing half-done is visible; the same command goes on from here",
            file=sys.stderr,
        )
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output went away (`| head`): point stdout elsewhere and leave quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(
            f"error: {error}\nHint: check the path, its permissions and the free space",
            file=sys.stderr,
        )
        return ERROR
    return result if isinstance(result, int) else 0
