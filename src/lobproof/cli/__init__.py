"""The command line: parse, call, print. Each command's module is loaded when it runs.

Exit codes: 0 done, passed or GO, 1 verification failed or NO-GO, 2 inconclusive, 3 an error
(bad input, wrong usage), 130 interrupted. They tell what the command found, also where nobody
reads its output to the end (`| head`).
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from cyclopts import App, CycloptsError, UnusedCliTokensError

from lobproof import __version__
from lobproof.errors import system_text, visible

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ERROR = 3
INTERRUPTED = 130


class _Command(NamedTuple):
    """Where a command lives (loaded when it runs), and what its help says."""

    place: str
    help: str
    examples: tuple[str, ...]

    @property
    def epilogue(self) -> str:
        """What stands below its help."""
        return "Examples:\n\n" + "\n\n".join(self.examples)


_ACQUIRE = {
    "test-connection": _Command(
        "acquire.connection:try_connection",
        "Try bucket, listing and one small read, and say what works.",
        (
            "lobproof acquire test-connection --sample",
            "lobproof acquire test-connection --profile lake",
        ),
    ),
    "list-inventory": _Command(
        "acquire.inventory:list_inventory",
        "Show what the bucket has, per table, exchange and symbol.",
        (
            "lobproof acquire list-inventory --sample",
            "lobproof acquire list-inventory --exchange BINANCE --symbols BTC-USDT --json",
        ),
    ),
    "download": _Command(
        "acquire.download:download",
        "Download days, resumed where a run was killed, each file checked.",
        (
            "lobproof acquire download --sample --symbols BTC-USDT --start 2022-10-01 "
            "--end 2022-10-02 --out lake",
            "lobproof acquire download --symbols BTC-USDT,ETH-USDT --start 2026-03-01 "
            "--end 2026-04-01 --out lake --dry-run",
        ),
    ),
    "validate": _Command(
        "acquire.validate:validate",
        "Judge downloaded files: bytes, schema, values, times, completeness.",
        ("lobproof acquire validate lake", "lobproof acquire validate lake --json"),
    ),
    "status": _Command(
        "acquire.status:status",
        "What is there, missing, partial, quarantined and certified, on one screen.",
        ("lobproof acquire status lake", "lobproof acquire status lake --check"),
    ),
    "certify": _Command(
        "acquire.certify:certify",
        "Issue the certificate of validated days, or re-check one from the files.",
        (
            "lobproof acquire certify lake --symbols BTC-USDT",
            "lobproof acquire certify lake --allow-synthetic",
            "lobproof acquire certify --verify lake/certificates/ID.json",
        ),
    ),
}

_GOLDEN = {
    "list": _Command(
        "golden.list_:list_",
        "Show captures and golden samples: hours by regime, losses, what lacks.",
        ("lobproof golden list captures golden", "lobproof golden list . --need 48h --json"),
    ),
    "check": _Command(
        "golden.check:check_",
        "Prove that no break of captures and golden samples is without a mark.",
        ("lobproof golden check captures golden", "lobproof golden check day --json"),
    ),
    "purge": _Command(
        "golden.purge:purge_",
        "Delete the journals of captures that ended long ago, and log it.",
        (
            "lobproof golden purge captures --older-than 90d --dry-run",
            "lobproof golden purge captures --older-than 90d --yes",
        ),
    ),
}

_FIDELITY = {
    "history": _Command(
        "history:history",
        "Show fidelity over days: regressions, trends, change points.",
        (
            "lobproof fidelity history store",
            "lobproof fidelity history store --symbol BTC-USDT --out history.html",
        ),
    ),
}

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
        "reconstruct.command:reconstruct",
        "Replay Crypto Lake days, or a golden sample, into a store: order book, events, findings.",
        (
            "lobproof reconstruct lake --out store",
            "lobproof reconstruct lake --out store --symbols BTC-USDT,ETH-USDT "
            "--start 2026-03-01 --end 2026-03-08 --carry --workers 2",
            "lobproof reconstruct lake --out store --zone validated --strategy anchored",
            "lobproof reconstruct golden/btc --out store --states 1s --strict",
        ),
    ),
    "assess": _Command(
        "assess:assess",
        "Say what recorded days are worth: GO or NO-GO, with which strategy, and why.",
        (
            "lobproof assess lake --out assessment",
            "lobproof assess lake --symbol BTC-USDT --date 2026-03-01 --out day.html",
            "lobproof assess lake --against golden/btc --json",
            "lobproof assess golden/btc --out golden.html",
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
    "fidelity": _Command(
        "fidelity:app",
        "Prove that a store is the market, metric by metric, with stated error rates.",
        (
            "lobproof fidelity store --against golden/btc",
            "lobproof fidelity store --against monday --against tuesday --json > fidelity.json",
            "lobproof fidelity --lobster-dir real generated --markdown fidelity.md",
        ),
    ),
    "certify": _Command(
        "certify:certify",
        "Issue the certificate of a dataset for training, or hold one against its store.",
        (
            "lobproof certify store --out dataset.json",
            "lobproof certify store --symbol BTC-USDT --start 2026-03-01 --end 2026-04-01 --json",
            "lobproof certify store --check dataset.json",
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
    "capture": _Command(
        "capture:capture",
        "Capture what Binance sends, byte for byte, with every loss known.",
        (
            "lobproof capture BTCUSDT ETHUSDT --out day --duration 24h --redundancy 2",
            "lobproof capture BTCUSDT --venue usdm --out opens --schedule us-open",
            "lobproof capture SIMUSDT --endpoint http://127.0.0.1:8080 --out try --duration 1m",
        ),
    ),
    "serve": _Command(
        "serve:serve",
        "Serve a recording or a simulated market as Binance would, with faults on demand.",
        (
            "lobproof serve golden/btc --port 8080",
            "lobproof serve --simulate --preset btc --symbols 3 --speed 10",
            "lobproof serve --simulate --market usdm --fault 'disconnect@every=10m±5m' "
            "--fault drop@90s,n=3,stream=depth",
        ),
    ),
    "derive-lake": _Command(
        "derive:derive",
        "Write a golden sample as Crypto Lake's tables, marked derived.",
        (
            "lobproof derive-lake golden/btc --out derived/btc",
            "lobproof derive-lake golden/btc --out derived/btc --json",
        ),
    ),
    "doctor": _Command(
        "doctor:doctor",
        "Assess one day of the vendor's data, and hold its reported facts to it.",
        (
            "lobproof doctor --sample",
            "lobproof doctor lake --symbol BTC-USDT --date 2022-10-01",
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
    suppress_keyboard_interrupt=False,  # it would exit without a word
    help_epilogue=(
        "Exit codes: 0 done or passed, 1 verification failed, 2 inconclusive, 3 error."
        "\n\nStart with `lobproof demo`."
    ),
)
acquire = App(
    "acquire",
    help="Crypto Lake history: from the bucket to a certificate.",
    help_format="markdown",
    result_action="return_value",
    help_epilogue=(
        "Exit codes: 0 done, 1 something failed or was refused, 2 undecided, 3 error."
        "\n\nWithout access, start with `--sample`, the vendor's free bucket."
    ),
)
golden = App(
    "golden",
    help="Collections of captures and golden samples: what there is, and whether it holds.",
    help_format="markdown",
    result_action="return_value",
    help_epilogue="Exit codes: 0 done, 1 something is wrong, 2 evidence is incomplete, 3 error.",
)


def _register(group: App, commands: Mapping[str, _Command]) -> App:
    for name, command in commands.items():
        # one with commands of its own is a `group`, which brings its epilogue
        about = {} if command.place.endswith(":app") else {"help_epilogue": command.epilogue}
        group.command(f"lobproof.cli.{command.place}", name=name, help=command.help, **about)
    return group


def fidelity_group() -> App:
    """``lobproof fidelity`` with the commands below it; what it does itself is its module's."""
    group = App(
        "fidelity",
        help_format="markdown",
        result_action="return_value",
        help_epilogue=_COMMANDS["fidelity"].epilogue,
    )
    return _register(group, _FIDELITY)


for _group, _commands in ((app, _COMMANDS), (acquire, _ACQUIRE), (golden, _GOLDEN)):
    _register(_group, _commands)
app.command(acquire)
app.command(golden)


def main() -> None:
    """Entry point of the ``lobproof`` command."""
    sys.stdout, sys.stderr = filtered(sys.stdout, 1), filtered(sys.stderr, 2)
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:  # a disk that is full, not a reader that went away
        if code != ERROR:  # else it has been said
            say_error(
                f"standard output: {system_text(error)}", "check the free space where it goes"
            )
        _to_nowhere(1)
        code = ERROR
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors go to standard error, without a traceback."""
    from lobproof.errors import LobproofError, missing_extra, place_error

    try:
        result = app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        command = " ".join(["lobproof", *(error.command_chain or ())])
        message = str(error)
        if isinstance(error, UnusedCliTokensError):
            message = f"{' '.join(error.unused_tokens or ())}: more than `{command}` takes"
        say_error(message, f"`{command} --help` lists what it takes, with examples")
        return ERROR
    except LobproofError as error:
        say_error(error.message, error.hint)
        return ERROR
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        say_error(missing.message, missing.hint)
        return ERROR
    except KeyboardInterrupt:
        print(
            "\ninterrupted: nothing half-done is visible; the same command goes on from here",
            file=sys.stderr,
        )
        return INTERRUPTED
    except OSError as error:
        place = place_error(error)
        say_error(place.message, place.hint)
        return ERROR
    return result if isinstance(result, int) else 0


def say_error(what: str, hint: str) -> None:
    """An error and what can be done about it, on standard error."""
    print(visible(f"error: {what}\nHint: {hint}"), file=sys.stderr)


class _Filtered(io.TextIOWrapper):
    """Standard output or error: what is printed is made `visible`, tracebacks and warnings too.

    What its encoding has no character for is written out as well.
    rich paints in escape sequences, so what it writes goes to ``rich_proxied_file``, and passes the
    filter of ``cli.console`` before. Neither holds anything back: both write into one buffer.
    """

    def __init__(self, buffer: io.BufferedWriter[_Patient], like: TextIO, *, by_line: bool) -> None:
        how = {"encoding": like.encoding, "errors": "backslashreplace"}
        super().__init__(buffer, **how, line_buffering=by_line, write_through=True)
        self.rich_proxied_file = io.TextIOWrapper(
            buffer, **how, line_buffering=by_line, write_through=True
        )

    def write(self, text: str) -> int:
        super().write(visible(text))
        return len(text)


class _Patient(io.FileIO):
    """Standard output or error: once nobody reads it, what is written goes nowhere."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            _to_nowhere(self.fileno())
            return super().write(data) or 0


def filtered(stream: TextIO | None, descriptor: int) -> TextIO:
    """What takes the place of standard output or error: see `_Filtered` and `_Patient`."""
    if stream is None:  # closed by whoever started the command
        return Path(os.devnull).open("w", encoding="utf-8")
    buffer = io.BufferedWriter(_Patient(descriptor, "w", closefd=False))
    return _Filtered(buffer, stream, by_line=stream.isatty() or descriptor == 2)


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
