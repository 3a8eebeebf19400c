"""Tables as text, and folders that take figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_octa_sam2.errors import WriteError

Table = Sequence[Sequence[str]]  # the header comes first


def aligned(table: Table, names: int | None = None) -> str:
    """Return a table as plain text for a terminal.

    Parameters
    ----------
    table : sequence of rows
    names : int, optional
        Columns that are aligned left; by default all, else the rest right.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    left = len(widths) if names is None else names
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def piped(table: Table, names: int | None = None) -> str:
    """Return a table as Markdown, aligned as by `aligned`."""
    header, *body = table
    left = len(header) if names is None else names
    rule = ["---"] * left + ["--:"] * (len(header) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])


def require_folder(folder: Path) -> Path:
    """Return `folder`, made if need be.

    Raises
    ------
    WriteError
        If it is a file, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"{folder}: expected a folder for the figures, found that it cannot be "
            f"made ({error.strerror}); choose another one"
        ) from error
    return folder


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Make `folder` and yield it; failures to write there become `WriteError`."""
    require_folder(folder)
    try:
        yield folder
    except OSError as error:
        raise WriteError(
            f"cannot write the figures into {folder}: {error.strerror}; choose a "
            "folder that you may write to"
        ) from error
