"""The commands by name, what every one of them has in common, and the exit codes."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from nightshift import __version__
from nightshift.cli import (
    backfill,
    check,
    diagnose,
    models,
    night,
    notify,
    orders,
    pipelines,
    proposals,
    repair,
    upkeep,
    waive,
)
from nightshift.errors import GateFailed, InputMissing, LedgerCorrupt, NightshiftError, SpecError, unforeseen

NOT_WELL = (GateFailed, InputMissing, LedgerCorrupt)

EXIT_CODES = """
Exit codes: 0 well; 1 what was asked about is not well (a check or gate failed, an input is missing, a component is
down, there is no champion, the ledger is corrupt); 2 wrong usage (an option, the name of a pipeline or step, a spec or
feature module that is wrong); 3 it could not be done, one sentence on standard error says why; 4 a backfill ended
well, but a corrected delivery was refused by its gate; 130 interrupted.

Results go to standard output (--json: one document), progress and errors to standard error.
"""


def exit_code(error: NightshiftError) -> int:
    """The exit code of a command that this ends."""
    if isinstance(error, NOT_WELL):
        return 1
    return 2 if isinstance(error, SpecError) else 3


class Commands(TyperGroup):
    """Errors end in a sentence instead of a traceback, whose words may hold cells; Ctrl-C ends in 130."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except NightshiftError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr, flush=True)
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise  # each ends a command in its own way
        except Exception as error:
            print(f"NightshiftError: {unforeseen(error)}", file=sys.stderr, flush=True)
            raise typer.Exit(3) from None


app = typer.Typer(
    cls=Commands,
    name="nightshift",
    help="Batch machine learning at night.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def nightshift(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Batch machine learning at night."""


_COMMANDS: tuple[Callable[..., None], ...] = (
    *(night.up, night.down, night.status, night.env, night.demo, night.prepare, night.serve),
    *(
        pipelines.new,
        check.check,
        pipelines.land,
        pipelines.try_,
        pipelines.run,
        pipelines.retrain,
        pipelines.score,
    ),
    *(backfill.backfill, diagnose.diagnose, waive.waive, repair.repair, upkeep.audit, upkeep.prune),
    *(upkeep.backup, upkeep.restore, notify.notify),
    *(models.champions, models.history, models.ledger),
    *(orders.rollback, orders.retire, orders.override, orders.freeze, orders.unfreeze),
    *(proposals.proposals, proposals.approve, proposals.reject),
)
for function in _COMMANDS:
    app.command(function.__name__.rstrip("_"))(function)
