"""One file over HTTP, resumed where an earlier transfer stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import requests

from napari_octa_sam2.errors import ModelError

Progress = Callable[[int, int | None], None]
CHUNK = 1 << 16  # what a broken connection can lose
TIMEOUT = (10, 60)  # seconds to connect, and between two packets


class DownloadCancelled(ModelError):
    """The user stopped a download; what has arrived is kept."""


class Interrupted(Exception):
    """A transfer could not be completed; `received` bytes arrived in it."""

    def __init__(self, reason: str, received: int = 0) -> None:
        super().__init__(reason)
        self.received = received


def transfer(
    url: str,
    part: Path,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Append to `part` what it lacks of the file at `url`.

    The entity tag of the server is kept in ``<part>.etag``, so that parts of two
    versions of a file are never joined.

    Raises
    ------
    Interrupted
        If the server cannot be reached, refuses, or stops before the end.
    DownloadCancelled
        If `cancelled` returned True.
    OSError
        If `part` cannot be written.
    """
    held = part.stat().st_size if part.exists() else 0
    received = 0
    try:
        with _request(url, part, held) as response:
            if response.status_code == 416:
                return _settle_unsatisfiable(response, part, held)
            if response.status_code not in (200, 206):
                raise Interrupted(f"the server answered {_status(response)}")
            start = held if response.status_code == 206 else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            _tag(part).write_text(response.headers.get("ETag", ""), "utf-8")
            with part.open("ab" if start else "wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    received += len(chunk)
                    if progress:
                        progress(start + received, total)
                    if cancelled and cancelled():
                        raise DownloadCancelled(
                            f"download of {url} cancelled; the next one goes on at "
                            f"{start + received} bytes"
                        )
    except requests.RequestException as error:
        raise Interrupted(_reason(error), received) from error
    if total is not None and start + received < total:
        raise Interrupted(
            f"the connection ended at {start + received} of {total} bytes", received
        )
    _tag(part).unlink()


def _request(url: str, part: Path, held: int) -> requests.Response:
    headers = {"Accept-Encoding": "identity"}
    if held:
        headers["Range"] = f"bytes={held}-"
        tag = _tag(part).read_text("utf-8") if _tag(part).exists() else ""
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)


def _settle_unsatisfiable(response: requests.Response, part: Path, held: int) -> None:
    """Accept a part that is complete already; drop one that is too long."""
    if response.headers.get("Content-Range", "") == f"bytes */{held}":
        return
    part.unlink()
    raise Interrupted("the partial file did not fit the one of the server", held)


def _status(response: requests.Response) -> str:
    return f"{response.status_code} {response.reason}".strip()


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was interrupted"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return f"{type(error).__name__} {error}"


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".etag")
