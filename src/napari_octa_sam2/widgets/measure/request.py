"""What the Measure dock asks for: labels, eye and regions; no window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.layers import as_slices, layer_geometry
from napari_octa_sam2.metrics.biomarkers.eye import Eye
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.metrics.subjects import UNCLASSED, Subject
from napari_octa_sam2.volume import LabelSet, ScanGeometry

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from napari_octa_sam2.metrics.segmentation.tally import SliceTally

MICROMETRES = 1000  # in a millimetre
ALIKE = 1e-3  # relative difference of spacings that comes of rounding
SCAN = "scan"  # the one subject of all graders
MEASURE, COMPARE, AGREE = "Measured", "Compared", "Agreement"

Progress = Callable[[int, int | None, str], None]
Cancelled = Callable[[], bool]
Place = tuple[int, float, float]  # slice, row, column


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found, and in what.

    Parameters
    ----------
    kind : str
        `MEASURE`, `COMPARE` or `AGREE`.
    results : Results
    places : mapping of int to (int, float, float)
        Slice on which each label is largest, and its centre there.
    checksums : numpy.ndarray
        Of each slice of the labels.
    subject : Subject, optional
        What was measured.
    graders : mapping of str to LabelSet
        That were compared with each other.
    tally : SliceTally, optional
        Overlap by slice, which follows the labels.
    geometry : ScanGeometry, optional
        Of the graders.
    """

    kind: str
    results: Results
    places: Mapping[int, Place]
    checksums: np.ndarray
    subject: Subject | None = None
    graders: Mapping[str, LabelSet] = field(default_factory=dict)
    tally: SliceTally | None = None
    geometry: ScanGeometry | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """Labels of a layer, which the user goes on painting.

    Parameters
    ----------
    name : str
    data : array
        As it is in the layer, with two or three axes.
    geometry : ScanGeometry
    names, classes : mapping of int to str
    unclassed : str
        Class of the labels that have none; empty for what `ids_by_class` makes of them.
    slice_names : tuple of str
    image : array, optional
        On the same grid.
    surfaces : str, optional
        File of the surfaces of the retina.
    """

    name: str
    data: Any
    geometry: ScanGeometry
    names: Mapping[int, str] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    unclassed: str = ""
    slice_names: tuple[str, ...] = ()
    image: Any = None
    surfaces: str | None = None

    @classmethod
    def of(
        cls, layer: Labels, layers: Iterable[Layer] = (), unclassed: str = ""
    ) -> Source:
        """Return the labels of a layer, with what the image below them tells.

        Raises
        ------
        VolumeError
            If the layer is multiscale, or has neither two nor three axes.
        """
        if layer.multiscale:
            raise VolumeError(
                f"{layer.name}: expected labels of one resolution, found several; "
                "open the finest one as a layer of its own"
            )
        if layer.ndim not in (2, 3):
            raise VolumeError(
                f"{layer.name}: expected labels with two or three axes, found "
                f"{layer.ndim}; choose one time point (right-click > Split Stack)"
            )
        image = image_below(layer, layers)
        told = {} if image is None else image.metadata
        told = {**told, **layer.metadata}
        return cls(
            layer.name,
            layer.data,
            layer_geometry(layer),
            dict(layer.metadata.get("names", {})),
            dict(layer.metadata.get("classes", {})),
            unclassed,
            tuple(told.get("slice_names", ())),
            None if image is None else image.data,
            told.get("provenance", {}).get("surfaces"),
        )

    def read(self) -> tuple[LabelSet, dict[int, Place]]:
        """Return a copy of the labels, with their classes, and where each is."""
        data = as_slices(np.array(self.data))
        places = label_places(data)
        classes = dict(self.classes)
        if self.unclassed:
            classes |= {
                i: self.unclassed for i in places if classes.get(i, "") in UNCLASSED
            }
        return LabelSet(data, self.names, classes), places

    def subject(self, labels: LabelSet) -> Subject:
        """Return what is measured."""
        from napari_octa_sam2.volume.readers.surface_file import read_surfaces

        image = None if self.image is None else as_slices(np.asarray(self.image))
        found = {}
        if self.surfaces is not None:
            found = read_surfaces(self.surfaces, labels.data.shape)
        return Subject(
            self.name,
            {"labels": labels},
            self.geometry,
            self.slice_names,
            image,
            found,
        )


@dataclass(frozen=True, eq=False)
class MeasureRequest:
    """Biomarkers of labels."""

    source: Source
    eye: Eye
    regions: tuple[str, ...]

    def run(self, progress: Progress, cancelled: Cancelled) -> Answer:
        """Measure.

        Raises
        ------
        VolumeError
            If nothing is labelled, or what is said of the eye cannot be.
        """
        from napari_octa_sam2.metrics.biomarkers.measurement import (
            MeasureSettings,
            measure,
        )

        labels, places = self.source.read()
        subject = self.source.subject(labels)
        results = measure(
            subject,
            eye=self.eye,
            settings=MeasureSettings(regions=self.regions),
            progress=progress,
            cancelled=cancelled,
        )
        marks = slice_checksums(labels.data)
        return Answer(MEASURE, results, places, marks, subject=subject)


@dataclass(frozen=True, eq=False)
class CompareRequest:
    """Labels against a reference.

    Parameters
    ----------
    source, reference : Source
    tolerance : float, optional
        Of surfaces, in micrometres; by default one pixel.
    overlap_only : bool
        Whether only what can be had at once is wanted.
    """

    source: Source
    reference: Source
    tolerance: float | None = None
    overlap_only: bool = False

    def run(self, progress: Progress, cancelled: Cancelled) -> Answer:
        """Compare.

        Raises
        ------
        VolumeError
            If they differ in shape or spacing.
        """
        from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
        from napari_octa_sam2.metrics.segmentation.tally import SliceTally

        geometry = common_geometry(self.source, self.reference)
        (labels, places), (truth, true_places) = (
            self.source.read(),
            self.reference.read(),
        )
        names = {**labels.names, **truth.names}
        classes = {**_known(labels), **_known(truth)}
        tally = SliceTally(truth.data, names, classes)
        tally.update(labels.data)
        if self.overlap_only:
            results = tally.results()
        else:
            results = evaluate(
                labels.data,
                truth.data,
                geometry=geometry,
                names=names,
                classes=classes,
                tolerance=self._tolerance(geometry),
                progress=progress,
                cancelled=cancelled,
            )
        notes = (f"{self.source.name} against {self.reference.name}", *results.notes)
        return Answer(
            COMPARE,
            replace(results, notes=notes),
            true_places | places,
            slice_checksums(labels.data),
            tally=tally,
        )

    def _tolerance(self, geometry: ScanGeometry) -> float | None:
        if self.tolerance is None:
            return None
        if not geometry.known:
            raise VolumeError(
                f"{self.source.name}: expected a spacing in mm for a tolerance in µm, "
                "found pixels; set the scale and units of the layer, or the tolerance "
                "to one pixel"
            )
        return self.tolerance / MICROMETRES


@dataclass(frozen=True, eq=False)
class AgreeRequest:
    """Labels of several graders of one scan."""

    graders: tuple[Source, ...]

    def run(self, progress: Progress, cancelled: Cancelled) -> Answer:
        """Compare all with all.

        Raises
        ------
        VolumeError
            If there is one grader only, or they differ in shape or spacing.
        """
        from napari_octa_sam2.metrics.agreement.graders import agree

        first = self.graders[0]
        if len(self.graders) < 2:
            raise VolumeError(
                f"expected labels of two graders or more, found {first.name} alone; "
                "tick other Labels layers under Graders"
            )
        geometry = first.geometry
        for other in self.graders[1:]:
            geometry = common_geometry(first, other)
        read = {}
        for done, grader in enumerate(self.graders):
            progress(done, len(self.graders) + 1, grader.name)
            read[grader.name] = grader.read()
        graders = {name: labels for name, (labels, _) in read.items()}
        progress(len(graders), len(graders) + 1, "all pairs")
        results = agree(
            {name: {SCAN: labels} for name, labels in graders.items()},
            {name: {SCAN: geometry} for name in graders},
        )
        labels, places = read[first.name]
        marks = slice_checksums(labels.data)
        return Answer(AGREE, results, places, marks, graders=graders, geometry=geometry)


Request = MeasureRequest | CompareRequest | AgreeRequest


def image_below(labels: Layer, layers: Iterable[Layer]) -> Layer | None:
    """Return the image on the grid of labels, the uppermost if there are several."""
    from napari.layers import Image

    found = [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and not (layer.rgb or layer.multiscale)
        and layer.data.shape == labels.data.shape
        and np.allclose(layer.scale, labels.scale, rtol=ALIKE)
    ]
    return found[-1] if found else None


def common_geometry(one: Source, other: Source) -> ScanGeometry:
    """Return the geometry of labels that are compared.

    Raises
    ------
    VolumeError
        If they differ in shape or spacing.
    """
    shapes = [_three(source.data.shape) for source in (one, other)]
    if shapes[0] != shapes[1]:
        found = " and ".join(
            f"{source.name} {' x '.join(map(str, shape))}"
            for source, shape in zip((one, other), shapes, strict=True)
        )
        raise VolumeError(
            f"expected labels of one shape, found {found}; choose labels of the same "
            "scan and slices"
        )
    if not (one.geometry.known and other.geometry.known):
        return one.geometry if one.geometry.known else other.geometry
    if not np.allclose(one.geometry.spacing, other.geometry.spacing, rtol=ALIKE):
        found = " and ".join(
            f"{source.name} {' x '.join(f'{s:.4g}' for s in source.geometry.spacing)}"
            for source in (one, other)
        )
        raise VolumeError(
            f"expected labels of one spacing, found {found} mm; correct the scale of "
            "one of the layers"
        )
    return one.geometry


def label_places(data: np.ndarray) -> dict[int, Place]:
    """Return the slice on which each label is largest, and its centre there."""
    best: dict[int, tuple[int, int]] = {}  # voxels, slice
    for index, plane in enumerate(data):
        counts = np.bincount(plane.ravel())
        for label in np.flatnonzero(counts).tolist():
            if label and counts[label] > best.get(label, (0, 0))[0]:
                best[label] = (int(counts[label]), index)
    places = {}
    for label, (_, index) in best.items():
        rows, cols = np.nonzero(data[index] == label)
        places[label] = (index, float(rows.mean()), float(cols.mean()))
    return places


def slice_checksum(plane: np.ndarray) -> int:
    """Return a number that changes with the labels of a slice."""
    from zlib import crc32

    return crc32(np.ascontiguousarray(plane))


def slice_checksums(data: np.ndarray) -> np.ndarray:
    """Return the checksum of each slice."""
    return np.array([slice_checksum(plane) for plane in data], np.uint32)


def _known(labels: LabelSet) -> dict[int, str]:
    return {i: cls for i, cls in labels.classes.items() if cls not in UNCLASSED}


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *shape) if len(shape) == 2 else tuple(shape)
