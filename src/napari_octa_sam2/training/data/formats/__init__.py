"""Data sets in: every layout that labelled images come in.

A family of layouts is a module with ``matches(path)``, which is cheap and never
raises, and ``find(path, config)``, which lists samples without reading their images
where it can. The first family that matches finds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from napari_octa_sam2.errors import ReadError, TrainingError
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats import (
    annotated,
    dilab,
    med2d,
    nifti_index,
    octa500,
    pairs,
    project,
    sequences,
)
from napari_octa_sam2.training.data.formats.annotated import write_annotated
from napari_octa_sam2.training.data.scenes import Sample

__all__ = ["find_samples", "write_annotated"]


class Family(Protocol):
    """What a module of this package offers."""

    def matches(self, path: Path) -> bool:
        """Return whether the family knows the layout of `path`."""
        ...

    def find(self, path: Path, config: DataConfig) -> list[Sample]:
        """Return the samples of `path`."""
        ...


# From the most to the least specific layout.
_FAMILIES: tuple[Family, ...] = (
    project,
    sequences,
    octa500,
    dilab,
    nifti_index,
    med2d,
    pairs,
    annotated,
)
_EXPECTED = (
    "expected a data set: OCTA-500 (a folder with ProjectionMaps and GT_*), image/ and "
    "label/, FAZ_LayerSequence, RV_LayerSequence or RV_Annotation of SAM-OCTA2, "
    "dataset.json of NIfTI files, image2label_*.json, imagesgreyscale/ and masks14/, "
    "or a project, OME-Zarr image or .npz file with labels"
)


def find_samples(path: str | Path, config: DataConfig) -> list[Sample]:
    """Return the samples of a data set, whatever its layout.

    Parameters
    ----------
    path : path
        Folder or index of the data set.
    config : DataConfig

    Raises
    ------
    TrainingError
        If there is nothing, no family knows the layout, or it holds no sample.
    """
    path = Path(path)
    try:
        samples = _found(path, config)
    except ReadError as error:
        raise TrainingError(str(error)) from error
    except OSError as error:
        raise TrainingError(
            f"{path}: expected a data set that can be read, found that it cannot be "
            f"({error.strerror or error}); check the permissions"
        ) from error
    if not samples:
        raise TrainingError(
            f"{path}: {_EXPECTED}, found the layout without a single sample that fits "
            "the settings; check the folder's content, projections and field_of_view"
        )
    return _with_unique_names(samples)


def _found(path: Path, config: DataConfig) -> list[Sample]:
    if not path.exists():
        raise TrainingError(f"{path}: {_EXPECTED}, found nothing there; check the path")
    family = next((f for f in _FAMILIES if f.matches(path)), None)
    if family is None:
        raise TrainingError(
            f"{path}: {_EXPECTED}, found {_content(path)}; give the folder that holds "
            "these, or bring the files into one of the layouts"
        )
    return family.find(path, config)


def _with_unique_names(samples: list[Sample]) -> list[Sample]:
    """Return the samples with a number after names that came before."""
    seen: Counter[str] = Counter()
    named = []
    for sample in samples:
        seen[sample.name] += 1
        count = seen[sample.name]
        name = f"{sample.name} ({count})" if count > 1 else sample.name
        named.append(replace(sample, name=name))
    return named


def _content(path: Path) -> str:
    if not path.is_dir():
        return "a file of another kind"
    try:
        names = sorted(p.name for p in path.iterdir())
    except OSError as error:
        return f"a folder that cannot be read ({error.strerror or error})"
    return f"a folder with {', '.join(names[:8])}" if names else "an empty folder"
