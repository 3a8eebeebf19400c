"""What scenes are built of, whatever the files they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.training.data.scenes import Scene, normalised
from napari_octa_sam2.volume.readers import images

MOST_COMPONENTS = 255


def scaled(path: Path, data: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return the pixels of `path` in 0..1, float32 of the same shape.

    Raises
    ------
    ReadError
        If some are not finite.
    """
    if data.dtype.kind == "f" and (count := int((~np.isfinite(data)).sum())):
        raise ReadError(
            f"{path}: expected finite grey values, found {count} pixels that are NaN "
            "or infinite; replace them, for instance by the smallest value"
        )
    return normalised(data, window)


def read_slice(path: Path, window: tuple[float, float]) -> np.ndarray:
    """Read a gray image as one slice in 0..1, float32 ``(1, slow, fast)``."""
    return scaled(path, images.read_gray(path)[None], window)


def binary_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask of 0 and 1, or of 0 and 255, as boolean ``(slow, fast)``.

    Raises
    ------
    ReadError
        If it has other values, or is not of `shape`.
    """
    pixels = images.read_gray(path)
    require_shape(path, pixels, shape)
    values = np.unique(pixels)
    if not (np.isin(values, (0, 1)).all() or np.isin(values, (0, 255)).all()):
        found = ", ".join(str(v) for v in values[:8])
        raise ReadError(
            f"{path}: expected a mask of the values 0 and 1, or 0 and 255, found "
            f"{found}{' …' if len(values) > 8 else ''}; save it as a binary image, "
            "without smoothing or lossy compression"
        )
    return np.asarray(pixels > 0)


def require_shape(path: Path, labels: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise `ReadError` unless the labels of `path` have the image's `shape`."""
    if labels.shape != shape:
        expected, found = (" x ".join(map(str, s)) for s in (shape, labels.shape))
        raise ReadError(
            f"{path}: expected labels of {expected} pixels like the image, found "
            f"{found}; give each image the labels that were drawn on it"
        )


def components(mask: np.ndarray, most: int = MOST_COMPONENTS) -> np.ndarray:
    """Return the connected components of a mask as labels 1, 2, …, the largest first.

    Pixels that touch at a corner are connected; components beyond `most` are left out.
    """
    found, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = np.bincount(found.ravel(), minlength=count + 1)[1:]
    kept = np.argsort(-sizes, kind="stable")[:most]
    numbers = np.zeros(count + 1, np.uint8 if len(kept) <= 255 else np.uint16)
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    return np.asarray(numbers[found])


def components_by_value(labels: np.ndarray) -> np.ndarray:
    """Return the connected components of every value but 0, as labels."""
    joined = np.zeros(labels.shape, np.uint16)
    last = 0
    for value in np.unique(labels[labels > 0]):
        part = components(labels == value, 65535 - last).astype(np.uint16)
        joined += np.where(part > 0, part + np.uint16(last), 0).astype(np.uint16)
        last += int(part.max())
    return joined.astype(np.uint8) if last <= 255 else joined


def unlabelled(pictures: np.ndarray, *, alike: bool = False) -> Scene:
    """Return a scene of which no slice has truth."""
    depth, *_, slow, fast = pictures.shape
    blank = np.zeros((depth, slow, fast), np.uint8)
    return Scene(pictures, blank, {}, labelled=np.zeros(depth, bool), alike=alike)


def folders_in(path: Path) -> list[Path]:
    """Return the visible folders in a folder, in order; none if it cannot be read."""
    try:
        return sorted(
            p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")
        )
    except OSError:
        return []


def load_json(path: Path) -> Any:
    """Return the content of a JSON file, or None if it holds none."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def located(entry: str, folder: Path) -> Path:
    """Return the file that an index in `folder` names.

    Folders at the front of the name that are not there are passed over: an index often
    names files from where its author stood.
    """
    parts = Path(entry).parts
    tails = (folder.joinpath(*parts[skip:]) for skip in range(len(parts)))
    return next((p for p in tails if p.is_file()), folder / entry)
