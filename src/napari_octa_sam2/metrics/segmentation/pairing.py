"""Which prediction belongs to which truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.metrics.subjects import find_subjects
from napari_octa_sam2.volume.readers.record import plain_name


class Pair(NamedTuple):
    """Prediction and truth of a subject, as files."""

    subject: str
    prediction: Path
    truth: Path


def pair_files(predictions: Path, truths: Path) -> tuple[list[Pair], list[str]]:
    """Match what can be read in two folders by name, without suffixes.

    Parameters
    ----------
    predictions, truths : Path
        Folders of label files, one a subject: ``a/10301.ome.zarr`` is compared with
        ``b/10301.nii.gz``.

    Returns
    -------
    pairs : list of Pair
        In the order of their names.
    notes : list of str
        What was left out, for it has no partner.

    Raises
    ------
    ReadError
        If a folder is missing or has two files of a subject, or nothing matches.
    """
    predicted, true = _subjects(predictions), _subjects(truths)
    common = sorted(predicted.keys() & true.keys())
    if not common:
        raise ReadError(
            f"expected files of the same names in {predictions} and {truths}, found "
            f"{_listed(predicted)} and {_listed(true)}; name them by subject"
        )
    notes = [
        f"{folder}: not compared, for {other} has no such name: {_listed(left)}"
        for folder, other, left in (
            (predictions, truths, predicted.keys() - true.keys()),
            (truths, predictions, true.keys() - predicted.keys()),
        )
        if left
    ]
    return [Pair(name, predicted[name], true[name]) for name in common], notes


def _subjects(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ReadError(
            f"{folder}: expected a folder of label files, found none; check the path"
        )
    subjects: dict[str, Path] = {}
    for path in find_subjects([folder]):
        name = plain_name(path)
        if name in subjects:
            raise ReadError(
                f"{folder}: expected one file of {name}, found {subjects[name].name} "
                f"and {path.name}; keep one of them there"
            )
        subjects[name] = path
    return subjects


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
