"""What the Measure dock asks for, and the answers; no window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.eye import Eye
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.metrics.subjects import UNCLASSED, Subject
from napari_octa_sam2.volume import LabelSet, ScanGeometry
from napari_octa_sam2.widgets.measure.source import (
    Place,
    Source,
    common_geometry,
    slice_checksums,
)

if TYPE_CHECKING:
    import numpy as np

    from napari_octa_sam2.metrics.segmentation.tally import SliceTally

MICROMETRES = 1000  # in a millimetre
SCAN = "scan"  # the one subject of all graders
MEASURE, COMPARE, AGREE = "Measured", "Compared", "Agreement"

Progress = Callable[[int, int | None, str], None]
Cancelled = Callable[[], bool]


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


def _known(labels: LabelSet) -> dict[int, str]:
    return {i: cls for i, cls in labels.classes.items() if cls not in UNCLASSED}
