"""The whole job on a phantom: prompts, propagation, scores and a picture."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_octa_sam2.engine.segment import Segmentation, segment
from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.metrics.biomarkers.measurement import measure
from napari_octa_sam2.metrics.report.gallery import pictures_of_scan
from napari_octa_sam2.metrics.report.planes import planes
from napari_octa_sam2.metrics.report.writing import write
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.metrics.subjects import Subject
from napari_octa_sam2.model.loading import DEFAULT_MODEL, LoadedModel, load_model
from napari_octa_sam2.overview import write_overview
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.phantom import PhantomConfig, as_drawn, make_phantom
from napari_octa_sam2.volume.writers import write_image

PHANTOM = PhantomConfig(seed=3)
CLICKS = 5  # on the vessels of a slice; the FAZ gets one
MARGIN = 4  # slices followed beyond the objects, to see that masks end


@dataclass(frozen=True, eq=False)
class Demo:
    """What `run_demo` did, and its files by name."""

    segmentation: Segmentation
    evaluation: Results
    files: dict[str, Path]
    seconds: float


def run_demo(
    folder: str | Path,
    *,
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    phantom: PhantomConfig = PHANTOM,
    progress: Callable[[int, int], None] | None = None,
) -> Demo:
    """Segment a phantom from a few simulated clicks and compare with the truth.

    Parameters
    ----------
    folder : path
        Receives the volume, the prompts, the labels, the scores, a report of what the
        labels measure, the record and an overview picture; files of an earlier demo
        are replaced.
    model : str, Path or LoadedModel
        As for `segment`.
    phantom : PhantomConfig
        The volume to draw.
    progress : callable, optional
        As for `segment`.

    Raises
    ------
    ModelError
        If the model is not there.
    WriteError
        If the folder cannot be written.
    """
    began = time.perf_counter()
    files = _files(Path(folder))
    if not isinstance(model, LoadedModel):
        model = load_model(model)
    volume = make_phantom(phantom).volume
    truth = vessels_and_faz(volume.labels["objects"], volume.geometry.spacing[0])
    prompts = annotate(truth, model.classes)
    write_image(files["volume"], volume)
    prompts.write(files["prompts"])
    span = _span(truth, MARGIN)
    done = segment(volume, prompts, model=model, slices=span, progress=progress)
    done.write(files["labels"])
    evaluation = evaluate(
        done.labels.data,
        truth.data,
        geometry=volume.geometry,
        names=truth.names,
        classes=truth.classes,
        slices=slice(span.start, span.stop),
    )
    write(files["metrics"], evaluation, title="Segmentation")
    _measured(files["report"], volume, done.labels)
    files["record"].write_text(json.dumps(done.record, indent=1) + "\n", "utf-8")
    _picture(files["overview"], volume, done, truth, prompts, evaluation)
    return Demo(done, evaluation, files, time.perf_counter() - began)


def _measured(file: Path, volume: OctaVolume, labels: LabelSet) -> None:
    """Measure vessels and FAZ, and write the page that tells it."""
    subject = Subject(
        volume.name, {"labels": labels}, volume.geometry, image=volume.data
    )
    results = measure(subject)
    write(
        file,
        results,
        title="Vessels and FAZ",
        subject=volume.name,
        pictures=lambda: pictures_of_scan(planes(subject, results), results),
    )


def vessels_and_faz(labels: LabelSet, spacing: float) -> LabelSet:
    """Return the labels with all vessels as one object (1) and the FAZ as one (2).

    Vessels are as wide as annotators draw them, on slices `spacing` mm apart.
    """
    numbers = [i for i, cls in labels.classes.items() if cls == "FAZ"]
    faz = np.isin(labels.data, numbers)
    vessels = as_drawn((labels.data > 0) & ~faz, spacing)
    data = np.where(faz, 2, vessels)
    return LabelSet(
        data.astype(np.uint8),
        {1: "large vessels", 2: "FAZ"},
        {1: "RV", 2: "FAZ"},
    )


def annotate(labels: LabelSet, classes: Collection[str] = ()) -> PromptSet:
    """Return what an annotator who knows the truth would give.

    Each object is prompted on the slice where it is largest, and on the first and last
    one where it has at least a quarter of that area; the slices just before and after
    it are marked as without it. The FAZ gets a click. Vessels are asked for by their
    class where it is one of `classes`, those that the model knows, else clicked on.
    """
    objects, prompts = [], []
    for label, cls in labels.classes.items():
        objects.append(PromptObject(label, labels.names[label], cls))
        masks = labels.data == label
        areas = masks.sum((1, 2))
        clear = np.flatnonzero(areas >= areas.max() / 4)
        for index in sorted({int(clear[0]), int(areas.argmax()), int(clear[-1])}):
            if cls != "FAZ" and cls in classes:
                prompts.append(Prompt(label, index, whole=cls))
                continue
            points = interior_points(masks[index], 1 if cls == "FAZ" else CLICKS)
            prompts.append(Prompt(label, index, points, (1,) * len(points)))
        there = np.flatnonzero(areas)
        for index in (int(there[0]) - 1, int(there[-1]) + 1):
            if 0 <= index < len(masks):
                prompts.append(Prompt(label, index, absent=True))
    return PromptSet(tuple(objects), tuple(prompts))


def interior_points(mask: np.ndarray, count: int) -> tuple[tuple[int, int], ...]:
    """Return up to `count` pixels well inside `mask` and far from each other.

    The first is the pixel deepest inside. Each further one is, among the pixels at
    least half as deep, the one farthest from those before.
    """
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    candidates = np.argwhere(depth >= depth.max() / 2)
    points = [np.array(np.unravel_index(depth.argmax(), mask.shape))]
    while len(points) < min(count, len(candidates)):
        apart = np.min(
            [np.linalg.norm(candidates - point, axis=1) for point in points], axis=0
        )
        points.append(candidates[apart.argmax()])
    return tuple((int(row), int(col)) for row, col in points)


def _files(folder: Path) -> dict[str, Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"{folder}: expected a folder for the results ({error.strerror}); choose "
            "another"
        ) from error
    return {
        "volume": folder / "volume.ome.zarr",
        "prompts": folder / "prompts.json",
        "labels": folder / "labels.ome.zarr",
        "metrics": folder / "metrics.csv",
        "report": folder / "report.pdf",
        "record": folder / "record.json",
        "overview": folder / "overview.png",
    }


def _span(labels: LabelSet, margin: int) -> range:
    filled = np.flatnonzero(labels.data.any((1, 2)))
    first, last = int(filled[0]) - margin, int(filled[-1]) + margin
    return range(max(0, first), min(len(labels.data), last + 1))


def _picture(
    path: Path,
    volume: OctaVolume,
    done: Segmentation,
    truth: LabelSet,
    prompts: PromptSet,
    evaluation: Results,
) -> None:
    write_overview(
        path,
        volume,
        done.labels,
        truth=truth,
        prompts=prompts,
        evaluation=evaluation,
        title=f"Demo: {done.record['model']['name']} on a synthetic scan",
    )
