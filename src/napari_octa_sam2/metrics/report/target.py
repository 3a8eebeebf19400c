"""Where a report goes: the suffix says how, and it is there as a whole or not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.files import write_whole


def check_suffix(path: str | Path, suffixes: Collection[str], what: str) -> Path:
    """Return `path` if it ends in one of `suffixes`.

    Parameters
    ----------
    path : path
    suffixes : collection of str
        Such as ``".csv"``.
    what : str
        What is to be written, such as ``"a table"``.

    Raises
    ------
    WriteError
        If it ends in none of them.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise WriteError(
            f"{path}: expected {what} that ends in {', '.join(suffixes)}, found "
            f"{path.name!r}; pick one of these formats"
        )
    return path


def put(path: Path, content: str | bytes) -> Path:
    """Write `content` to `path`, whose folder is made if need be.

    Raises
    ------
    WriteError
        If it cannot be written; an older file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise WriteError(
            f"cannot write the report {path}: {error.strerror or error}; choose a "
            "folder that you may write to, and close the file where it is open"
        ) from error
    return path
