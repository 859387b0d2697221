"""What every command of the portal shares: help with examples, one-line errors, a quiet Ctrl-C, progress bars."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter
from django.db import OperationalError, ProgrammingError
from django_rich.management import RichCommand
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realtime.printing import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells report it."""

LOST_BY_A_POOLER = frozenset({"26000", "42P05", "34000"})
"""SQLSTATEs of a prepared statement or a cursor that another session has, or that is not there any more."""

USAGE = 2
"""Exit status after a mistake on the command line, as argparse has it."""

PATIENCE_SECONDS = 2.0
"""Work shorter than this shows no progress bar."""

MAX_LISTED = 12
"""Names that an error lists at most."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's formatter (our options before the common ones) that keeps the lines of description and examples."""


class PipedConsole(Console):
    """A console that lets go when its reader does, as `print` would; rich itself exits 1."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, for `PortalCommand.run_from_argv`."""
        raise BrokenPipeError


class PortalCommand(RichCommand):
    """A command whose mistakes are one line each: what was wrong, and what to do instead.

    `examples` closes `--help`. A `CommandError` exits 1, a mistake on the command line 2, Ctrl-C 130.
    """

    examples: ClassVar[str] = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that shows the examples, and raises CommandError rather than print its usage."""
        kwargs.setdefault("formatter_class", HelpFormatter)
        if self.examples:
            kwargs.setdefault("epilog", f"examples:\n{self.examples}")
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.called_from_command_line = False
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as `manage.py` does."""
        try:
            super().run_from_argv(argv)
        except CommandError as error:  # of the parser: Django catches those of the command itself
            message = printable(str(error).removeprefix("Error: "), lines=True)
            self.stderr.write(f"{message} (see manage.py {argv[1]} --help)")
            sys.exit(USAGE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # `manage.py watch | head`: nobody reads on, and nothing more can be said
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)

    def make_rich_console(self, **kwargs: Any) -> Console:
        """Return the console that `self.console` is."""
        return PipedConsole(**kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; a database that is absent, locked or not migrated is one line too."""
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"The database refused: {first_line(error)}. {_remedy(error)}") from error
        except CommandError as error:
            raise CommandError(printable(error, lines=True), returncode=error.returncode) from error

    def say(self, text: str) -> None:
        """Write one line as it is: no markup, no wrapping."""
        self.console.print(printable(text, lines=True), markup=False, highlight=False, soft_wrap=True)


def _remedy(error: Exception) -> str:
    state = getattr(error.__cause__, "sqlstate", None)
    if state in LOST_BY_A_POOLER:
        return "A pooler that shares sessions out by transaction, such as PgBouncer, needs DATABASE_PREPARE_AFTER=0."
    return "Is DATABASE_URL right, and was `manage.py migrate` run?"


def first_line(error: Exception) -> str:
    """Return what an error says, on one line; its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def suggestion(wrong: str, names: Iterable[str]) -> str:
    """Return what to say after "there is no such name": the close ones, else the first `MAX_LISTED` of all."""
    known = sorted(set(names))
    folded = {name.casefold(): name for name in known}
    close = [folded[hit] for hit in difflib.get_close_matches(wrong.casefold(), folded, n=3, cutoff=0.5)]
    if close:
        return f"Did you mean {' or '.join(repr(name) for name in close)}?"
    return listed(known)


def listed(names: Iterable[str]) -> str:
    """Return a sentence that lists the names there are, the first `MAX_LISTED` of them."""
    known = sorted(set(names))
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"There are: {', '.join(known[:MAX_LISTED])}{more}."


@contextmanager
def patient_bar(console: Console, description: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of `total` steps; on a terminal, a bar appears after `PATIENCE_SECONDS`."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = progress.add_task(description, total=total)
    begun = time.monotonic()

    def advance() -> None:
        progress.advance(task)
        if not progress.live.is_started and time.monotonic() - begun > PATIENCE_SECONDS:
            progress.start()

    try:
        yield advance
    finally:
        progress.stop()
