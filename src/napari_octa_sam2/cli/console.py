"""What the commands share: options, output, progress, Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.tables import aligned
from napari_octa_sam2.volume.writers import check_target

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, nothing else.")
]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="A:B",
        help="Slices A to B, both included, counted from 0 as in the viewer.",
    ),
]
INTERVAL = 5.0  # seconds between two lines of progress


class Tell(Protocol):
    """Shows how far the work is."""

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        """Show `done` of `total`, with a note."""
        ...


def parse_range(text: str | None) -> range | None:
    """Return the slices of ``A:B``, both included; None for None.

    Raises
    ------
    typer.BadParameter
        If the text is not two whole numbers; their order is left to the work.
    """
    if text is None:
        return None
    first, _, last = text.partition(":")
    try:
        return range(int(first), int(last) + 1)
    except ValueError:
        raise typer.BadParameter(
            f"expected two slices A:B, such as 10:40, found {text!r}"
        ) from None


def require_target(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise `WriteError` before the work if its labels could not go to `path`."""
    check_target(path)
    if any(path.absolute() == source.absolute() for source in inputs):
        raise WriteError(
            f"{path}: expected a new name for the labels, found one of the inputs; "
            "pick another name"
        )


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether the command line gave a parameter a value."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse arguments of another use of a command.

    Raises
    ------
    typer.BadParameter
        If one of `names` was given.
    """
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in names and is_given(context, name):
            command = context.info_name
            raise typer.BadParameter(f"{parameter.opts[0]} {why}; see {command} --help")


def print_json(content: Any) -> None:
    """Print `content` on stdout."""
    typer.echo(json.dumps(content, indent=1, default=str))


def print_pairs(pairs: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        typer.echo(f"{name:<{width}}  {value}")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length in columns."""
    typer.echo(aligned(rows))


class Report(Protocol):
    """Figures of a run that may have been stopped."""

    @property
    def complete(self) -> bool:
        """False if it was."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        ...

    def table(self) -> str:
        """Return tables as plain text."""
        ...

    def write(self, folder: Path) -> list[Path]:
        """Write files into a folder; return their paths."""
        ...


def show_report(report: Report, out: Path | None, as_json: bool) -> None:
    """Print a report, and write it to a folder where there is one.

    Raises
    ------
    typer.Exit
        With status 1 if the run was stopped.
    """
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(report.table())
    for path in [] if out is None else report.write(out):
        say(f"written: {path}")
    if not report.complete:
        say("error: interrupted; the figures are of what was done")
        raise typer.Exit(1)


def line_width() -> int | None:
    """Return the characters of a line on a terminal; None in a pipe or file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say(text: str) -> None:
    """Print a line on stderr, where it does not mix with results."""
    typer.echo(text, err=True)


@contextmanager
def progress(title: str) -> Iterator[Tell]:
    """Show progress on stderr: a bar on a terminal, plain lines in a pipe."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), Remaining())
    note_column = TextColumn("{task.fields[note]}")
    console = Console(stderr=True)
    with Progress(*columns, note_column, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, note="")

        def tell(done: int, total: int | None, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield tell


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C or a termination has asked to stop.

    The first signal only asks, so that what is done can be kept; the second acts.
    """
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: object) -> None:
        stop.set()
        restore()

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop.is_set
    finally:
        restore()


class _Lines:
    """Progress as plain lines: the first, the last, and one now and then."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._due = 0.0

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        now = time.monotonic()
        if done != total and now < self._due:
            return
        self._due = now + INTERVAL
        of_total = "" if total is None else f"/{total}"
        say(f"{self._title} {done}{of_total} {note}".rstrip())
