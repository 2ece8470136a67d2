"""The command line: parse, call, print. Each command's module is loaded when it runs.

Exit codes: 0 done or passed, 1 verification failed, 2 verification inconclusive, 3 an error
(bad input, wrong usage), 130 interrupted.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from lobproof import __version__

ERROR = 3
INTERRUPTED = 130

_COMMANDS = {
    "import": ("importing:import_", "Turn recordings into a golden sample."),
    "reconstruct": ("reconstruct:reconstruct", "Replay a golden sample into a store."),
    "verify": ("verify:verify", "Prove a store against a golden sample."),
    "inspect": ("inspect:inspect", "Show a store or a golden sample on one screen."),
    "report": ("report:report", "Write the HTML page of a store."),
    "simulate": ("simulate:simulate", "Simulate an exchange and record it."),
    "demo": ("demo:demo", "The whole chain on a simulated exchange, with a report to open."),
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
for _name, (_place, _help) in _COMMANDS.items():
    app.command(f"lobproof.cli.{_place}", name=_name, help=_help)


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
