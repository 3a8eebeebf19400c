"""Tables as text, and folders that take figures."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
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


def write_files(
    folder: Path, files: Mapping[str, Callable[[Path], object]]
) -> list[Path]:
    """Write files into a folder, which is made if need be; return their paths.

    Parameters
    ----------
    folder : Path
    files : mapping of str to callable
        Names, and what writes to such a path.

    Raises
    ------
    WriteError
        If they cannot be written.
    """
    require_folder(folder)
    paths = {folder / name: write for name, write in files.items()}
    try:
        for path, write in paths.items():
            write(path)
    except OSError as error:
        raise WriteError(
            f"cannot write the figures into {folder}: {error.strerror}; choose a "
            "folder that you may write to"
        ) from error
    return list(paths)


def write_json(path: Path, content: object) -> None:
    """Write JSON, as people may want to read it."""
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def write_csv(path: Path, table: Table) -> None:
    """Write a table as comma-separated values."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table)
