"""Files: written as a whole or not at all, known by their hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never a part.

    Raises
    ------
    OSError
        If it cannot be written; an older file is as it was.
    """
    partial = file.with_name(file.name + ".part")
    data = content.encode() if isinstance(content, str) else content
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
