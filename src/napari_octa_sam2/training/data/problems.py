"""What is wrong with data, found before a training starts; and what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import OctaError, ReadError
from napari_octa_sam2.files import file_sha256
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.training.data.splits import Split

Progress = Callable[[int, int], None]
"""Called with the samples looked at, and with how many there are."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data.

    Parameters
    ----------
    file : str
        Where; empty if it is about the data as a whole.
    text : str
        What was expected, what was found, what to do.
    fatal : bool
        Whether a training cannot start.
    """

    file: str
    text: str
    fatal: bool


def find_problems(split: Split, progress: Progress | None = None) -> list[Problem]:
    """Return everything wrong with the samples; reads each of them once.

    Notes
    -----
    The first of a sample's files is its image: the same one in both parts is a leak,
    while two empty masks may well be the same.
    """
    problems = [*_of_subjects(split), *_of_copies(split)]
    samples = (*split.training, *split.validation)
    for done, sample in enumerate(samples, 1):
        problems.extend(_of_sample(sample))
        if progress is not None:
            progress(done, len(samples))
    return problems


def describe(split: Split) -> dict[str, dict[str, Any]]:
    """Return what is in ``"training"`` and ``"validation"``; reads every sample.

    Returns
    -------
    dict
        For each part the number of ``subjects``, ``samples``, ``slices`` with truth and
        ``objects``, and ``classes``, with the pixels of each class there is truth for.

    Raises
    ------
    ReadError
        If a sample cannot be read.
    """
    parts = {"training": split.training, "validation": split.validation}
    return {name: _counts(samples) for name, samples in parts.items()}


def hashes(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return name, subject and files of the samples, ready for JSON.

    Each file comes with the SHA-256 of its content.

    Raises
    ------
    ReadError
        If a file cannot be read.
    """
    known: dict[Path, str] = {}
    return [
        {
            "name": sample.name,
            "subject": sample.subject,
            "files": [
                {"file": str(file), "sha256": _sha256(file, known)}
                for file in sample.files
            ],
        }
        for sample in samples
    ]


def _of_subjects(split: Split) -> Iterable[Problem]:
    training, validation = (
        {s.subject for s in part} for part in (split.training, split.validation)
    )
    for subject in sorted(training & validation):
        text = (
            f"expected every subject in one part, found {subject} in training and in "
            "validation; move all of its samples to one of them"
        )
        yield Problem("", text, fatal=True)
    if not training:
        text = "expected samples to learn from, found none; add data"
        yield Problem("", text, fatal=True)
    elif not validation:
        count = f"{len(training)} subject{'s' if len(training) > 1 else ''}"
        text = (
            f"expected subjects to validate on, found none beside the {count} to learn "
            "from; without them nobody can tell how good the model is: add a subject"
        )
        yield Problem("", text, fatal=False)


def _of_copies(split: Split) -> Iterable[Problem]:
    """Yield the images that are in both parts, under whatever names."""
    known: dict[Path, str] = {}
    learned: dict[str, Path] = {}
    for sample in split.training:
        for file in _readable(sample):
            learned.setdefault(_sha256(file, known), file)
    for sample in split.validation:
        for file in _readable(sample):
            if twin := learned.get(_sha256(file, known)):
                text = (
                    f"expected different images in training and validation, found the "
                    f"same one as {twin}; remove one of them"
                )
                yield Problem(str(file), text, fatal=True)


def _readable(sample: Sample) -> list[Path]:
    """Return the file of a sample's image, if there is one to be read."""
    return [file for file in sample.files[:1] if file.is_file()]


def _of_sample(sample: Sample) -> Iterable[Problem]:
    file = str(sample.files[0]) if sample.files else sample.name
    try:
        scene = sample.read()
    except OctaError as error:
        yield Problem(file, str(error), fatal=True)
        return
    if text := _mismatch(scene):
        yield Problem(file, text, fatal=True)
    elif not np.isfinite(scene.images).all():
        text = "expected finite grey values, found NaN or infinity; replace them"
        yield Problem(file, text, fatal=True)
    elif scene.labelled is not None and not scene.labelled.any():
        text = (
            "expected an image with labels, found none for it; draw them, or move the "
            "image away"
        )
        yield Problem(file, text, fatal=True)
    elif not any(m.any() for m in (scene.instances, *scene.classes.values())):
        text = (
            "expected something to be labelled, found only empty masks, which teach "
            "absence alone; check whether that is meant"
        )
        yield Problem(file, text, fatal=False)


def _mismatch(scene: Scene) -> str:
    """Return what does not fit to the images in size; nothing if all does."""
    depth, *_, slow, fast = scene.images.shape
    arrays = {"objects": scene.instances, **scene.classes}
    for name, array in arrays.items():
        if array.shape != (depth, slow, fast):
            return (
                f"expected {name} of shape {(depth, slow, fast)} like the images, "
                f"found {array.shape}; give each image the labels drawn on it"
            )
    if scene.labelled is not None and scene.labelled.shape != (depth,):
        return f"expected {depth} flags of slices, found {scene.labelled.shape}"
    return ""


def _counts(samples: Sequence[Sample]) -> dict[str, Any]:
    slices = objects = 0
    pixels: Counter[str] = Counter()
    for sample in samples:
        scene = sample.read()
        depth = len(scene.images)
        slices += depth if scene.labelled is None else int(scene.labelled.sum())
        objects += int(np.count_nonzero(np.unique(scene.instances)))
        for name, mask in scene.classes.items():
            pixels[name] += int(mask.sum())
    return {
        "subjects": len({s.subject for s in samples}),
        "samples": len(samples),
        "slices": slices,
        "objects": objects,
        "classes": dict(sorted(pixels.items())),
    }


def _sha256(path: Path, known: dict[Path, str]) -> str:
    if path not in known:
        try:
            known[path] = file_sha256(path)
        except OSError as error:
            raise ReadError(
                f"{path}: expected a file that can be read, found that it cannot be "
                f"({error.strerror or error}); check that it is still there"
            ) from error
    return known[path]
