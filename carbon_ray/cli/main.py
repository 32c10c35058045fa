"""The `carbon-ray` command: its subcommands, and the one place where an error becomes a line of text and an exit code.

Kept quick to start: what is slow to import (Ray, pandas, matplotlib, the database) is imported inside the commands.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from carbon_ray.cli.backtest import backtest
from carbon_ray.cli.demo import demo
from carbon_ray.cli.doctor import doctor
from carbon_ray.cli.forecast import forecast
from carbon_ray.cli.plan import plan
from carbon_ray.cli.policies import policies
from carbon_ray.cli.regions import regions
from carbon_ray.cli.report import report
from carbon_ray.cli.simulate import simulate
from carbon_ray.cli.status import status
from carbon_ray.cli.submit import submit
from carbon_ray.core.errors import CarbonRayError, ClusterStartError, ConfigError, WorkloadRejected

USAGE, FAILURE, INTERRUPTED = 2, 1, 130
"""Exit codes: the request must be changed; something failed; Ctrl-C (128 + SIGINT, as shells count)."""

DEBUG_VARIABLE = "CARBON_RAY_DEBUG"

# Typer has its own copy of Click in some versions and uses Click in others; BadParameter derives from the right one in both.
_CLICK_ERROR: type[Exception] = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")

app = typer.Typer(
    name="carbon-ray",
    help="Ray clusters that go where, and run when, the grid is clean.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (demo, forecast, backtest, plan, submit, status, report, simulate, policies, regions, doctor):
    # A submitted command has options of its own: everything from its first word on is left alone.
    app.command(context_settings={"allow_interspersed_args": False} if _command is submit else None)(_command)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from carbon_ray import __version__

        typer.echo(f"carbon-ray {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks (or set {DEBUG_VARIABLE}=1).")] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    is_debug, words = _take_debug(arguments)
    try:
        code = app(args=words, prog_name="carbon-ray", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except typer.Abort:
        code = INTERRUPTED
    except _CLICK_ERROR as error:
        return _fail(_usage(error), USAGE, is_debug=is_debug)
    except CarbonRayError as error:
        return _fail(_one_line(error), USAGE if isinstance(error, (ConfigError, WorkloadRejected)) else FAILURE, is_debug=is_debug)
    except Exception as error:  # the user is told in one line; the traceback is there for who asks for it
        told = f"unexpected {type(error).__name__}: {_joined(str(error))}; run again with --debug for the traceback, and please report it"
        return _fail(told, FAILURE, is_debug=is_debug)
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    return code if isinstance(code, int) else 0


def run() -> None:
    """Entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without block characters still gets its table
    sys.exit(main(sys.argv[1:]))


def _take_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Let --debug stand anywhere but in a command line that is to be submitted."""
    ours = next((place for place, word in enumerate(arguments) if word in ("submit", "--")), len(arguments))
    head = [word for word in arguments[:ours] if word != "--debug"]
    is_debug = len(head) < ours or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    return is_debug, [*head, *arguments[ours:]]


def _joined(text: str) -> str:
    return " ".join(text.split())


def _one_line(error: CarbonRayError) -> str:
    # What a start failed of stands in the end of its log, which makes no sense in one line.
    return str(error) if isinstance(error, ClusterStartError) else _joined(str(error))


def _usage(error: Exception) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    return f"{_joined(message).rstrip('.')}; see {context.command_path if context else 'carbon-ray'} --help"


def _fail(message: str, code: int, *, is_debug: bool) -> int:
    if is_debug:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    return code
