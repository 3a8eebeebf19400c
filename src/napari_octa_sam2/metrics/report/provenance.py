"""How figures came about: versions, machine, time and the files they were taken of."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.files import file_sha256

PACKAGES = ("numpy", "scipy", "scikit-image", "skan")


def provenance(inputs: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Return versions, machine, time and the hashes of `inputs`, ready for JSON.

    Parameters
    ----------
    inputs : iterable of path
        Files or folders that the figures were taken of.

    Raises
    ------
    ReadError
        If one of them cannot be read.
    """
    return {
        "software": versions(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_input(Path(path)) for path in inputs],
    }


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of what computes figures."""
    found = {"napari-octa-sam2": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of a folder's files.

    That of a folder is the SHA-256 of one line a file, its path with forward slashes
    and its own SHA-256 with a space between, ordered by path.

    Raises
    ------
    ReadError
        If it, or a file of it, cannot be read.
    """
    try:
        if not path.is_dir():
            return file_sha256(path)
        files = {p.relative_to(path).as_posix(): p for p in _files(path)}
    except OSError as error:
        raise ReadError(
            f"{path}: expected an input that can be read, found that it cannot be "
            f"({error.strerror or error}); check that it is still there"
        ) from error
    lines = [f"{name} {content_hash(files[name])}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def lines_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what `provenance` told as names and values, for people to read."""
    software = (f"{name} {number}" for name, number in record["software"].items())
    names = ("platform", "created")
    lines = [(name, str(record[name])) for name in names if name in record]
    inputs = [
        (f"input {i['file']}", f"SHA-256 {i['sha256']}") for i in record["inputs"]
    ]
    return [("software", ", ".join(software)), *lines, *inputs]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _input(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": content_hash(path)}
