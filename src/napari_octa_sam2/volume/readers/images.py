"""Gray images, alone and as numbered sequences."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", *TIFF_SUFFIXES)
_SHOWN = 10


def is_image(path: Path) -> bool:
    """Return whether the name is that of a visible image file."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_pixels(path: Path) -> np.ndarray:
    """Read an image as it is stored.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)`` or ``(rows, columns, channels)``, in the machine's
        byte order; bilevel images as uint8 0/255.

    Raises
    ------
    ReadError
        If the file is missing, truncated or no image.
    """
    try:
        pixels = _decode(path)
    except FileNotFoundError as error:
        raise ReadError(f"{path}: there is no such file") from error
    except (OSError, SyntaxError, ValueError, IndexError, struct.error) as error:
        raise ReadError(
            f"{path}: expected a complete image, found a file that cannot be decoded "
            f"({error}); copy it again from its source"
        ) from error
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def read_gray(path: Path) -> np.ndarray:
    """Read an image of shape ``(rows, columns)``; an alpha channel is dropped.

    Raises
    ------
    ReadError
        If the image cannot be decoded, or its colour channels differ.
    """
    pixels = read_pixels(path)
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (2, 3, 4):
        raise ReadError(
            f"{path}: expected one gray image, found an array of shape {pixels.shape}; "
            "save one page a file"
        )
    gray = pixels[..., 0]
    if pixels.shape[2] > 2 and not (pixels[..., :3] == gray[..., None]).all():
        raise ReadError(
            f"{path}: expected a gray image, found colours (the channels differ); "
            "export the flow signal in gray, without overlays or a colour map"
        )
    return np.ascontiguousarray(gray)


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a gray image of `shape` as a mask: foreground is every value above 0."""
    gray = read_gray(path)
    if gray.shape != shape:
        raise ReadError(
            f"{path}: expected a mask of {shape[0]} x {shape[1]} pixels like its "
            f"image, found {gray.shape[0]} x {gray.shape[1]}; move it away to read the "
            "image without it"
        )
    return gray > 0


def size(path: Path) -> tuple[int, int] | None:
    """Return rows and columns as the file's header says; None if it has none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def numbered_images(folder: Path, prefix: str | None = None) -> dict[int, Path]:
    """Return the images of a folder by number, in numeric order.

    The number is the last run of digits (at most nine) of the name; what stands
    before it must be the same in all names, and is `prefix` if that is given. Files
    without a number or with another prefix are passed over.

    Raises
    ------
    ReadError
        If a number occurs twice, or the names belong to several sequences.
    """
    found: dict[int, Path] = {}
    prefixes: set[str] = set()
    for path in sorted(p for p in folder.iterdir() if is_image(p)):
        match = re.fullmatch(r"(.*?)(\d{1,9})", path.stem)
        if match is None or not path.is_file() or prefix not in (None, match[1]):
            continue
        number = int(match[2])
        prefixes.add(match[1])
        if len(prefixes) > 1:
            raise ReadError(
                f"{folder}: expected one sequence of numbered images, found names that "
                f"start with {sorted(prefixes)}; put each sequence into its own folder"
            )
        if number in found:
            raise ReadError(
                f"{folder}: expected each number once, found number {number} twice "
                f"({found[number].name} and {path.name}); remove one of them"
            )
        found[number] = path
    return dict(sorted(found.items()))


def require_numbers(
    folder: Path, found: Mapping[int, Path], expected: range, what: str
) -> None:
    """Raise `ReadError` unless `found` has exactly the numbers `expected`."""
    wanted = f"{folder}: expected {what} {expected[0]} to {expected[-1]}"
    if surplus := [number for number in found if number not in expected]:
        raise ReadError(
            f"{wanted}, found {_listed(surplus, len(surplus))} as well; remove what "
            "does not belong there"
        )
    if count := len(expected) - len(found):
        missing = list(islice((n for n in expected if n not in found), _SHOWN))
        raise ReadError(
            f"{wanted}, missing {_listed(missing, count)}; copy the folder again from "
            "its source, or renumber the files"
        )


def read_stack(paths: Iterable[Path]) -> np.ndarray:
    """Read gray images of one size and type.

    Returns
    -------
    numpy.ndarray
        Shape ``(images, rows, columns)``.

    Raises
    ------
    ReadError
        If an image cannot be read, or differs from the first in size or type.
    """
    paths = list(paths)
    first = read_gray(paths[0])
    stack = np.empty((len(paths), *first.shape), first.dtype)
    for index, path in enumerate(paths):
        image = read_gray(path)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise ReadError(
                f"{path}: expected {_described(first)} like {paths[0].name}, "
                f"found {_described(image)}; all images of a folder must be alike"
            )
        stack[index] = image
    return stack


def _decode(path: Path) -> np.ndarray:
    if path.suffix.lower() in TIFF_SUFFIXES:
        import tifffile

        return tifffile.imread(path)
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                return np.asarray(image.convert("RGB"))
            return np.asarray(image)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def _described(image: np.ndarray) -> str:
    rows, columns = image.shape
    return f"{rows} x {columns} pixels of {image.dtype}"


def _listed(numbers: list[int], count: int) -> str:
    shown = ", ".join(str(n) for n in numbers[:_SHOWN])
    return shown + (f" and {count - _SHOWN} more" if count > _SHOWN else "")
