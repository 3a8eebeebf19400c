"""Which subjects a model learns from, and which it is validated on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.scenes import Sample

# First and last id of the official parts of OCTA-500: 6 mm, then 3 mm.
_OFFICIAL = (
    (10001, 10180, "training"),
    (10181, 10200, "validation"),
    (10201, 10300, "test"),
    (10301, 10440, "training"),
    (10441, 10450, "validation"),
    (10451, 10500, "test"),
)
_PREFIXES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Split:
    """Samples to learn from and to validate on; no subject is in both.

    Parameters
    ----------
    training, validation : tuple of Sample
    left_out : tuple of Sample
        In neither: official test subjects, and those beyond `DataConfig.subjects`.
    """

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    left_out: tuple[Sample, ...] = ()


def hold_out(samples: Sequence[Sample], config: DataConfig) -> Split:
    """Return the samples with the subjects of `config.holdout` held out.

    Official parts are those of OCTA-500's ids, or else of names that begin with
    ``train``, ``val`` or ``test`` and have a slash (``train/10301``); samples without
    either are learned from. Where none is officially for validation, a fraction of the
    subjects to learn from is.

    Raises
    ------
    TrainingError
        If nothing is left to learn from, or a fraction or fold is none.
    """
    _require_valid(config)
    rng = np.random.default_rng(config.seed)
    subjects = sorted({s.subject for s in samples})
    held: set[str] = set()
    unused: set[str] = set()
    if config.holdout == "official":
        parts = _official_parts(samples)
        held = {s for s in subjects if parts.get(s) == "validation"}
        unused = {s for s in subjects if parts.get(s) == "test"}
    open_to_all = [s for s in subjects if s not in held | unused]
    if config.holdout == "fraction" or (config.holdout == "official" and not held):
        held = _fraction(open_to_all, config.fraction, rng)
    elif config.holdout == "folds":
        held = _fold(open_to_all, config, rng)
    learned = [s for s in open_to_all if s not in held]
    if 0 < config.subjects < len(learned):
        chosen = set(rng.permutation(learned)[: config.subjects].tolist())
        unused |= set(learned) - chosen
        learned = sorted(chosen)
    if not learned:
        raise TrainingError(
            f"expected subjects to learn from, found {len(subjects)} in all, "
            f"{len(held)} for validation and {len(unused)} of official test splits; "
            "add data, or set holdout to 'fraction' or 'none'"
        )
    return Split(*(_of(samples, part) for part in (learned, held, unused)))


def _require_valid(config: DataConfig) -> None:
    if not 0 < config.fraction < 1:
        raise TrainingError(
            f"expected a fraction between 0 and 1 to hold out, found {config.fraction}"
        )
    if config.folds < 2 or not 0 <= config.fold < config.folds:
        raise TrainingError(
            f"expected one of at least two folds, numbered from 0, found fold "
            f"{config.fold} of {config.folds}"
        )


def _of(samples: Sequence[Sample], subjects: Collection[str]) -> tuple[Sample, ...]:
    chosen = set(subjects)
    return tuple(s for s in samples if s.subject in chosen)


def _official_parts(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the official part of each subject that has one.

    The strictest counts: a subject with a test sample is a test subject.
    """
    parts: dict[str, str] = {}
    order = ("training", "validation", "test")
    for sample in samples:
        part = _part_of_id(sample.subject) or _part_of_name(sample.name)
        if part is not None:
            known = parts.get(sample.subject, part)
            parts[sample.subject] = max(part, known, key=order.index)
    return parts


def _part_of_id(subject: str) -> str | None:
    number = int(subject) if subject.isdecimal() else 0
    return next((p for first, last, p in _OFFICIAL if first <= number <= last), None)


def _part_of_name(name: str) -> str | None:
    folder, slash, _ = name.partition("/")
    begins: Callable[[str], bool] = folder.lower().startswith
    found = (part for prefix, part in _PREFIXES.items() if slash and begins(prefix))
    return next(found, None)


def _fraction(
    subjects: list[str], fraction: float, rng: np.random.Generator
) -> set[str]:
    """Return a share of the subjects, at least one; none of a single subject."""
    if len(subjects) < 2:
        return set()
    count = min(max(round(fraction * len(subjects)), 1), len(subjects) - 1)
    return set(rng.permutation(subjects)[:count].tolist())


def _fold(
    subjects: list[str], config: DataConfig, rng: np.random.Generator
) -> set[str]:
    if len(subjects) < config.folds:
        raise TrainingError(
            f"expected at least {config.folds} subjects for as many folds, found "
            f"{len(subjects)}; set folds to {max(len(subjects), 2)} or fewer"
        )
    parts = np.array_split(rng.permutation(subjects), config.folds)
    return set(parts[config.fold].tolist())
