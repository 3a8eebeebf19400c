"""Checkpoints on demand: downloaded once, resumed, verified, kept.

A file gets its final name only after its SHA-256 was checked. A sidecar beside it
(``.ok``) remembers the result for that size and time of change, so that later loads
need not read the file again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.registry import ModelEntry
from napari_octa_sam2.model.transfer import (
    DownloadCancelled,
    Interrupted,
    Progress,
    transfer,
)

__all__ = [
    "DownloadCancelled",
    "cache_folder",
    "checkpoint_path",
    "fetch",
    "is_available",
    "source",
]

CACHE_VARIABLE = "NAPARI_OCTA_SAM2_CACHE"
MIRROR_VARIABLE = "NAPARI_OCTA_SAM2_MIRROR"
BUNDLED_FOLDER = Path(__file__).parent / "weights"
ATTEMPTS = 5


def cache_folder() -> Path:
    """Return the folder of downloaded checkpoints.

    The environment variable ``NAPARI_OCTA_SAM2_CACHE``, or the cache folder of the
    operating system.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(pooch.os_cache("napari-octa-sam2"))


def checkpoint_path(entry: ModelEntry, folder: Path | None = None) -> Path:
    """Return where the checkpoint is, or will be after `fetch`."""
    if entry.url is None:
        return BUNDLED_FOLDER / entry.filename
    return (folder or cache_folder()) / entry.filename


def is_available(entry: ModelEntry, folder: Path | None = None) -> bool:
    """Whether the checkpoint is on disk, complete and verified.

    Reads the file once if it was put there by hand; instant from then on.
    """
    path = checkpoint_path(entry, folder)
    return path.is_file() and (entry.url is None or _verify(path, entry) is None)


def fetch(
    entry: ModelEntry,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Return the path of a checkpoint, downloading it if need be.

    An interrupted or cancelled download is kept as ``<name>.part``, and the next
    call goes on from there. With the environment variable
    ``NAPARI_OCTA_SAM2_MIRROR`` files come from that address instead.

    Parameters
    ----------
    entry : ModelEntry
    folder : pathlib.Path, optional
        Where checkpoints are kept; `cache_folder` by default.
    progress : callable, optional
        Called with the bytes on disk and the total, None if the server does not
        say. Falls back to 0 only if the server cannot resume.
    cancelled : callable, optional
        Asked between chunks; the download stops once it returns True.

    Raises
    ------
    DownloadCancelled
        If `cancelled` returned True.
    ModelError
        If the file cannot be fetched or is not what was published; the message
        says what to do.
    """
    path = checkpoint_path(entry, folder)
    if entry.url is None:
        if not path.is_file():
            raise ModelError(
                f"expected the bundled model {entry.name} at {path}, found nothing; "
                "reinstall napari-octa-sam2"
            )
        if entry.sha256 and pooch.file_hash(str(path)) != entry.sha256:
            raise ModelError(
                f"the bundled model {entry.name} at {path} is damaged: expected "
                f"SHA-256 {entry.sha256}; reinstall napari-octa-sam2"
            )
        return path
    try:
        return _obtain(entry, path, progress, cancelled)
    except Interrupted as error:
        raise ModelError(
            f"cannot download {entry.title} from {source(entry)}: {error}. What has "
            "arrived is kept: check the connection and proxy and try again; "
            + _advice(entry, path)
        ) from error
    except OSError as error:
        raise ModelError(
            f"cannot write {path}: {error.strerror}. {entry.title} needs "
            f"{entry.size_mb:g} MB: free some space, or set {CACHE_VARIABLE} to a "
            "folder that has it and that you may write to"
        ) from error


def source(entry: ModelEntry) -> str:
    """Return the address a checkpoint is downloaded from."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    return f"{mirror.rstrip('/')}/{entry.filename}" if mirror else str(entry.url)


def _obtain(
    entry: ModelEntry,
    path: Path,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> Path:
    if path.is_file():
        if (flaw := _verify(path, entry)) is None:
            return path
        warnings.warn(f"{path}: {flaw}; downloading it again", stacklevel=3)
        _discard(path)
    part = path.with_name(path.name + ".part")
    _download(entry, part, progress, cancelled)
    if (flaw := _verify(part, entry)) is not None:
        _discard(part)
        raise ModelError(
            f"{entry.title} from {source(entry)}: {flaw}. The file was deleted. Try "
            f"again; {_advice(entry, path)}"
        )
    _ok(part).replace(_ok(path))
    return part.replace(path)


def _download(
    entry: ModelEntry,
    part: Path,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Bring the complete file to `part`, going on after interruptions."""
    part.parent.mkdir(parents=True, exist_ok=True)
    held = part.stat().st_size if part.exists() else 0
    if shutil.disk_usage(part.parent).free < entry.size_mb * 1e6 - held:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return transfer(source(entry), part, progress, cancelled)
        except Interrupted as error:
            if attempt == ATTEMPTS or error.received == 0:
                raise


def _advice(entry: ModelEntry, path: Path) -> str:
    return (
        f"or download {entry.url} by hand to {path}; or use octa-nano, which needs no "
        "network"
    )


def _verify(path: Path, entry: ModelEntry) -> str | None:
    """Return what is wrong with a file, None if nothing is, and remember the latter.

    Without a published hash the one that was remembered counts.
    """
    known = _remembered(path)
    expected = entry.sha256 or known.get("sha256")
    status = path.stat()
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    if expected and known == {"sha256": expected, **stamp}:
        return None
    found = pooch.file_hash(str(path), alg="sha256")
    if expected and found != expected:
        return (
            f"expected SHA-256 {expected}, found {found} "
            f"({status.st_size} bytes, damaged or incomplete)"
        )
    if entry.sha256 is None and not expected:
        warnings.warn(
            f"{entry.title} was not verified against a published checksum: none is "
            f"known. Its SHA-256 is {found}; later changes of the file will be noticed",
            stacklevel=4,
        )
    with contextlib.suppress(OSError):  # a shared cache may be read-only
        _ok(path).write_text(json.dumps({"sha256": found, **stamp}) + "\n", "utf-8")
    return None


def _remembered(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(_ok(path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _discard(path: Path) -> None:
    path.unlink()
    _ok(path).unlink(missing_ok=True)


def _ok(path: Path) -> Path:
    return path.with_name(path.name + ".ok")
