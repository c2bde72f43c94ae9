"""The command `assay`: finds the subcommand, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done; 1 something that the user can mend, told in one line on stderr; 2 wrong usage; 130 stopped by
Ctrl-C. Anything else is a bug, and shows its traceback. Commands import what is heavy only when they run, so that help
is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from assay import __version__
from assay.app.commands.check import check
from assay.app.commands.circuit import circuit
from assay.app.commands.dictionary import dictionary
from assay.app.commands.explain import explain
from assay.app.commands.load import load
from assay.app.commands.run import run as run_experiment
from assay.app.commands.store import store
from assay.app.commands.study import study
from assay.core.errors import AssayError

app = typer.Typer(
    name="assay",
    help="A workbench for mechanistic interpretability.\n\n\b\nExample:\n  assay load      what the embedded model is",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("load")(load)
app.command("run")(run_experiment)
app.command("explain")(explain)
app.command("check")(check)
app.add_typer(study, name="study")
app.add_typer(circuit, name="circuit")
app.add_typer(dictionary, name="dictionary")
app.add_typer(store, name="store")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options that belong to no command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    code = run(sys.argv[1:] if arguments is None else arguments)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code. Messages go to stderr, results to stdout."""
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="assay", standalone_mode=False)
        sys.stdout.flush()
    except AssayError as error:
        _complain(f"{type(error).__name__}: {error}")
        return 1
    except (KeyboardInterrupt, typer.Abort):
        _complain("stopped")
        return 130
    except BrokenPipeError:  # the reader of our output has gone: `assay load | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # wrong usage: the class lives in click or in typer, depending on the version, so it is known by what it can do
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        error.show()
        return int(error.exit_code)
    return result if isinstance(result, int) else 0


def _complain(message: str) -> None:
    typer.echo(message, err=True)
