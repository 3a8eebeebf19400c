"""Slices that were annotated by hand, a few of a volume: sparse truth.

Files of our own hold a volume, its labels, and which slices were annotated. SAM-OCTA2
keeps one picture a slice: ``RV_Annotation/<subject>_<slice>.png``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError, TrainingError, WriteError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.prompts import CLASSES, SEGMENTABLE
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import components, scaled
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import sam_octa2
from napari_octa_sam2.volume.readers.label_values import as_label_array

SUFFIX = ".npz"
FORMAT = "napari-octa-sam2 annotated"
VERSION = 1


def matches(path: Path) -> bool:
    """Return whether it is a file of ours, a folder of them, or ``RV_Annotation``."""
    return bool(_files(path)) or bool(_pictures(path))


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each file.

    Raises
    ------
    ReadError
        If a file is not one of ours, or is damaged.
    """
    samples = []
    for file in _files(path):
        about = _load(file, ("about",))["about"]
        read = partial(_read, file, config.window)
        samples.append(Sample(about["name"], about["subject"], (file,), read))
    for picture in _pictures(path):
        read = partial(_read_picture, picture, config.window)
        subject, _, _ = picture.stem.partition("_")
        samples.append(Sample(picture.stem, subject, (picture,), read))
    return samples


def write_annotated(
    path: str | Path,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Mapping[int, str],
    labelled: Sequence[int],
    name: str,
    subject: str,
) -> Path:
    """Write annotated slices of a volume to learn from; return the file's path.

    Parameters
    ----------
    path : path
        The suffix ``.npz`` is added where it is missing.
    images : numpy.ndarray
        Flow signal, ``(depth, slow, fast)``.
    labels : numpy.ndarray
        Object ids from 0 to 65535, same shape.
    classes : mapping of int to str
        Class of each id, one of `prompts.CLASSES`.
    labelled : sequence of int
        Slices with truth; those without any object are truth as well.
    name, subject : str

    Raises
    ------
    TrainingError
        If labels, classes or slices do not fit the volume.
    WriteError
        If the file cannot be written.
    """
    _require_fit(images, labels, classes, labelled)
    path = Path(path)
    path = path if path.suffix.lower() == SUFFIX else path.with_name(path.name + SUFFIX)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "subject": subject,
        "classes": {str(i): cls for i, cls in classes.items()},
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        images=images,
        labels=as_label_array(labels),
        labelled=np.array(sorted({int(i) for i in labelled}), np.int64),
        about=np.array(json.dumps(about)),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.getvalue())
    except OSError as error:
        raise WriteError(
            f"{path}: expected a place that can be written to, found that it cannot be "
            f"({error.strerror or error}); choose another folder or make room"
        ) from error
    return path


def sparse_scene(
    pictures: np.ndarray,
    labels: np.ndarray,
    classes: Mapping[int, str],
    labelled: Iterable[int],
) -> Scene:
    """Return the scene of a volume of which only some slices have truth.

    A class is known if an object has it; labels on other slices count for nothing.
    """
    has_truth = np.zeros(len(pictures), bool)
    has_truth[list(labelled)] = True
    instances = np.where(has_truth[:, None, None], labels, 0).astype(labels.dtype)
    shown = set(np.unique(instances).tolist())
    ids: dict[str, list[int]] = {}
    for number, cls in classes.items():
        if cls in SEGMENTABLE and number in shown:
            ids.setdefault(cls, []).append(number)
    masks = {cls: np.isin(instances, numbers) for cls, numbers in ids.items()}
    return Scene(pictures, instances, masks, labelled=has_truth)


def _require_fit(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Mapping[int, str],
    labelled: Sequence[int],
) -> None:
    fits = images.ndim == 3 and labels.shape == images.shape
    if not fits or labels.dtype.kind not in "ui":
        raise TrainingError(
            "expected images (depth, slow, fast) and labels of integers of the same "
            f"shape, found {images.shape} and {labels.shape} of {labels.dtype}; give "
            "the labels of this volume"
        )
    if wrong := sorted({cls for cls in classes.values() if cls not in CLASSES}):
        raise TrainingError(
            f"expected classes of {', '.join(CLASSES)}, found {', '.join(wrong)}; "
            "choose one of these, or 'other'"
        )
    if not labelled or not all(0 <= i < len(images) for i in labelled):
        raise TrainingError(
            f"expected labelled slices from 0 to {len(images) - 1}, found "
            f"{sorted(labelled) or 'none'}; annotate a slice first"
        )


def _files(path: Path) -> list[Path]:
    if path.suffix.lower() == SUFFIX and path.is_file():
        return [path]
    return sorted(p for p in path.glob(f"*{SUFFIX}") if p.is_file())


def _pictures(path: Path) -> list[Path]:
    if path.absolute().name != "RV_Annotation" or not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if sam_octa2.matches(p))


def _load(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return some entries of one of our files, ``about`` decoded."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found: dict[str, Any] = {key: archive[key] for key in keys}
        about = json.loads(str(found["about"]))
        if (about["format"], about["version"]) != (FORMAT, VERSION):
            raise ValueError(f"{about['format']!r}, version {about['version']}")
        about["classes"] = {int(i): cls for i, cls in about["classes"].items()}
        return found | {"about": about}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise _not_ours(path, error) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _not_ours(path, error) from error


def _not_ours(path: Path, error: Exception) -> ReadError:
    return ReadError(
        f"{path}: expected annotated slices ({FORMAT}, version {VERSION}), found "
        f"another or a damaged file ({error}); write it again from the volume"
    )


def _read(path: Path, window: tuple[float, float]) -> Scene:
    found = _load(path, ("about", "images", "labels", "labelled"))
    data, labels, labelled = (found[k] for k in ("images", "labels", "labelled"))
    try:
        _require_fit(data, labels, found["about"]["classes"], labelled.tolist())
    except TrainingError as error:
        raise ReadError(f"{path}: {error}") from error
    pictures = scaled(path, data, window)
    return sparse_scene(pictures, labels, found["about"]["classes"], labelled)


def _read_picture(path: Path, window: tuple[float, float]) -> Scene:
    volume = sam_octa2.read(path)
    mask = volume.labels["vessel region"].data > 0
    # the region that was drawn is where the large vessels of the layer are
    return Scene(scaled(path, volume.data, window), components(mask), {"RV": mask})
