"""The Automatic dock: find without a click, look, make objects or prompts of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_octa_sam2.annotation.scene import shown_slice
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.errors import OctaError, VolumeError
from napari_octa_sam2.layers import (
    as_slices,
    grid_arguments,
    image_slices,
    layer_geometry,
    object_colormap,
)
from napari_octa_sam2.prompts import PromptSet
from napari_octa_sam2.volume import LabelSet, OctaVolume
from napari_octa_sam2.widgets.automatic import panels
from napari_octa_sam2.widgets.automatic.finder import Finder, Found, Request
from napari_octa_sam2.widgets.controls import Dock
from napari_octa_sam2.widgets.task import TaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_octa_sam2.annotation import Annotation

SCROLL_BAR = 16  # pixels
NO_IMAGE = "Open an OCTA volume first, or File > Open Sample > OCTA SAM 2."


class AutomaticWidget(Dock):
    """Find vessels, the FAZ or everything; correct it in the Segment dock.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    progressed : Signal
        ``(done, total)`` of what is looked at, from the thread that does so.
    """

    progressed = Signal(int, int)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.runner = TaskRunner(self.say, self._set_running)
        self.finder = Finder()
        self.found: Found | None = None
        self.layer: Labels | None = None  # that shows what was found
        self._volume: tuple[object, OctaVolume] | None = None  # of the data of a layer
        self._known: str | None = None  # model whose classes are offered
        self._is_due = self._cancelled = False
        self._build()
        self.progressed.connect(self._show_progress)
        events = napari_viewer.layers.events
        self._watched = (events.inserted, events.removed, events.renamed)
        for event in self._watched:
            event.connect(self._offer_layers)
        self._offer_layers()
        self._image_changed()
        self._model_changed()

    def _build(self) -> None:
        self.source = panels.SourcePanel()
        self.classes = panels.ClassPanel()
        self.cleaning = panels.CleaningPanel()
        self.everything = panels.EverythingPanel()
        self.run = panels.FindPanel(self.find_here, self.find_range, self.cancel)
        self.result = panels.ResultPanel(self.take_over, self.make_prompts)
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (
            self.status,
            self.source,
            self.classes,
            self.everything,
            self.run,
            self.cleaning,
            self.result,
        ):
            column.addWidget(part)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.everything.hide()
        self.source.image.layer_changed.connect(self._image_changed)
        self.source.model.chosen.connect(self._model_changed)
        self.source.method_changed.connect(self._method_changed)
        self.source.within.layer_changed.connect(self._changed)
        self.classes.changed.connect(self._classes_changed)
        self.cleaning.changed.connect(self._changed)

    # what users do ---------------------------------------------------------

    def find_here(self) -> None:
        """Look on the slice shown."""
        image = self.source.image.layer
        if image is None:
            self.warn(NO_IMAGE)
            return
        index = shown_slice(self.viewer, image)
        self._find(range(index, index + 1))

    def find_range(self) -> None:
        """Look on the chosen slices."""
        self._find(self.run.span.slices)

    def cancel(self) -> None:
        """Stop after the slice that is looked at; what was found is shown."""
        if self.runner.busy:
            self._cancelled = True
            self.say("Stopping after this slice …")

    def take_over(self) -> None:
        """Make what was found objects of the Segment dock, as one step."""
        found, layer = self.found, self.layer
        if found is None or layer is None:
            self.warn("Nothing was looked for yet; find something first.")
            return

        def adopt(annotation: Annotation) -> int:
            return annotation.adopt_found(
                as_slices(np.asarray(layer.data)),
                found.names,
                found.classes,
                found.confidence,
                only_blank=self.result.only_blank.isChecked(),
            )

        if self._adopt(found.request.image, adopt):
            layer.visible = False

    def make_prompts(self) -> None:
        """Have SAM 2 segment what was found on the slice shown, as new objects."""
        found, layer = self.found, self.layer
        if found is None or layer is None:
            self.warn("Nothing was looked for yet; find something first.")
            return
        image, panel = found.request.image, self.result
        index = shown_slice(self.viewer, image)
        plane = np.array(as_slices(np.asarray(layer.data))[index])
        if not plane.any():
            self.warn(f"Nothing was found on slice {index}; find on this slice first.")
            return
        work = partial(
            _prompts,
            LabelSet(plane[None], found.names, found.classes),
            index,
            panel.kind.currentText(),
            panel.most.value(),
            panel.negatives.value() if panel.negatives.isEnabled() else 0,
        )

        def show(made: PromptSet) -> None:
            if self._adopt(image, lambda annotation: annotation.adopt_prompts(made)):
                layer.visible = False

        self.runner.start("Making prompts", work, show)

    def use_model(self, name_or_path: str) -> None:
        """Find classes with this promptless model."""
        self.source.method = panels.CLASSES
        self.source.model.model = name_or_path

    # finding ---------------------------------------------------------------

    def _find(self, slices: range) -> None:
        try:
            request = self._request(slices)
        except OctaError as error:
            self.warn(str(error))
            return
        self._start(request)

    def _start(self, request: Request) -> None:
        self._cancelled = self._is_due = False
        span = request.slices
        where = f"slice {span[0]}" if len(span) == 1 else f"{len(span)} slices"
        work = partial(
            self.finder.find, request, self.progressed.emit, lambda: self._is_cancelled
        )
        self.runner.start(f"Looking at {where}", work, self._show)

    def _request(self, slices: range) -> Request:
        image = self.source.image.layer
        if image is None:
            raise VolumeError(NO_IMAGE)
        model = self.source.model.model
        volume = self._volume_of(image)
        if self.source.method == panels.EVERYTHING:
            filters = self.everything.chosen
            return Request(image, volume, model, slices, filters=filters)
        settings = FindSettings(
            self.classes.chosen,
            dict(self.cleaning.values),
            self.classes.separate.isChecked(),
            self.classes.least.value(),
            8 if self.classes.views.isChecked() else 1,
        )
        within = self._within(volume)
        return Request(image, volume, model, slices, settings, within)

    def _volume_of(self, image: Image) -> OctaVolume:
        """Return the data of an image as a volume, the same one each time."""
        if self._volume is None or self._volume[0] is not image.data:
            data = image_slices(image)
            made = OctaVolume(data, layer_geometry(image), image.name)
            self._volume = image.data, made
        return self._volume[1]

    def _within(self, volume: OctaVolume) -> np.ndarray | None:
        layer = self.source.within.layer
        if layer is None:
            return None
        seen = np.asarray(as_slices(np.asarray(layer.data))[0] > 0)
        if seen.shape != volume.shape[1:]:
            raise VolumeError(
                f"{layer.name}: expected a map of {volume.shape[1:]} pixels as "
                f"{volume.name} has, found {seen.shape}; choose the map of this volume"
            )
        return seen

    @property
    def _is_cancelled(self) -> bool:
        return self._cancelled or self._stopped

    def _show(self, found: Found) -> None:
        image = found.request.image
        if image not in self.viewer.layers:
            self.say(f"{image.name} was removed; what was found in it is dropped.")
            return
        layer = self._layer_for(found)
        content = as_slices(layer.data)
        if self.found is not None and self.found.request.image is image:
            old = self.found.request.slices
            content[old.start : old.stop] = 0
        span = found.request.slices
        content[span.start : span.stop] = found.labels
        layer.metadata.update(
            names=found.names, classes=found.classes, record=found.record
        )
        layer.visible = True
        layer.refresh()
        self.found, self.layer = found, layer
        if found.used is not None:
            self.everything.show_settings(found.used)
        self.result.found.setText(found.text)
        self.result.enable(bool(found.labels.any()))
        self.say(found.text)

    def _layer_for(self, found: Found) -> Labels:
        """Return the layer that shows what is found in an image, made if need be."""
        image, layer = found.request.image, self.layer
        known = self.found is not None and self.found.request.image is image
        if layer is not None and known and layer in self.viewer.layers:
            if found.labels.dtype.itemsize > layer.data.dtype.itemsize:
                layer.data = layer.data.astype(found.labels.dtype)
            return layer
        active = self.viewer.layers.selection.active
        added = self.viewer.add_labels(
            np.zeros(image.data.shape, found.labels.dtype),
            name=f"{image.name} found",
            colormap=object_colormap(),
            **grid_arguments(image),
        )
        if active is not None:  # it may be a tool of the Segment dock
            self.viewer.layers.selection.active = active
        return added

    def _adopt(self, image: Image, adopt: Callable[[Annotation], int]) -> bool:
        """Have the Segment dock, where it is open, take objects over."""
        from napari_octa_sam2.widgets.segment.dock import SegmentWidget

        docks = self.viewer.window.dock_widgets.values()
        segment = [dock for dock in docks if isinstance(dock, SegmentWidget)]
        if not segment:
            self.warn("Open the Segment dock first, which corrects and follows them.")
            return False
        if image not in self.viewer.layers:
            self.warn(f"{image.name} was removed: open it again.")
            return False
        count = segment[0].adopt(image, adopt)
        if count:
            many = f"{count} objects" if count > 1 else "1 object"
            self.say(f"Took {many} over: correct and follow them in the Segment dock.")
        return bool(count)

    # what is shown ---------------------------------------------------------

    def _changed(self) -> None:
        """Let changed values act at once on the slice that was looked at."""
        found, self._is_due = self.found, False
        if found is None or found.request.settings is None:
            return
        if len(found.request.slices) > 1:
            self.say("Press Slices again, to find with these values.")
            return
        if self.runner.busy:
            self._is_due = True
            return
        is_same = self.source.image.layer is found.request.image
        if is_same and self.source.method == panels.CLASSES and self.classes.chosen:
            self._find(found.request.slices)

    def _classes_changed(self) -> None:
        self.cleaning.offer(self.classes.chosen)
        self._changed()

    def _method_changed(self, method: str) -> None:
        for part in (self.classes, self.cleaning):
            part.setVisible(method == panels.CLASSES)
        self.everything.setVisible(method == panels.EVERYTHING)
        # nothing says which objects of two slices are one
        self.run.allow_range(method == panels.CLASSES)

    def _model_changed(self) -> None:
        """Offer the classes of the chosen model, once it is read."""
        name = self.source.model.model
        if self.source.method == panels.EVERYTHING or name == self._known:
            return
        if self.runner.busy:
            return  # looked at when that is done
        self._known = name
        work = partial(self.finder.classes, name)
        self.runner.start("Loading the model", work, self._show_classes)

    def _show_classes(self, known: tuple[str, ...]) -> None:
        self.classes.show_known(known)
        self.say(f"The model finds {', '.join(known)}.")

    def _show_progress(self, done: int, total: int) -> None:
        if self.runner.busy and not self._cancelled:
            self.run.show_progress(done, total)

    def _set_running(self, running: bool) -> None:
        self.run.set_running(running)
        found = self.found is not None and bool(self.found.labels.any())
        self.result.enable(found and not running)
        if not running and not self._stopped:
            self._model_changed()
            if self._is_due and not self.runner.busy:
                QTimer.singleShot(0, self._changed)

    def _offer_layers(self, event: object = None) -> None:
        layers = [x for x in self.viewer.layers if x is not self.layer]
        self.source.offer(layers)
        if self.layer is not None and self.layer not in self.viewer.layers:
            self.found = self.layer = None
            self.result.found.setText("Nothing was looked for yet.")
            self.result.enable(False)

    def _image_changed(self) -> None:
        image = self.source.image.layer
        if image is None:
            self.say("Open an OCTA volume, or File > Open Sample > OCTA SAM 2.")
            return
        self.run.span.set_depth(image.data.shape[-3] if image.ndim > 2 else 1)
        self.say("Tick classes, then find them on this slice [F9].")

    def showEvent(self, event: object) -> None:
        """Be as wide as the controls are in napari's style."""
        self.setMinimumWidth(self.widget().minimumSizeHint().width() + SCROLL_BAR)
        super().showEvent(event)

    def stop(self) -> None:
        """Stop listening; layers stay, and what is being looked at is dropped."""
        self.runner.close()
        for event in self._watched:
            event.disconnect(self._offer_layers)


def _prompts(
    found: LabelSet, index: int, kind: str, most: int, negatives: int
) -> PromptSet:
    """Return prompts of what was found on one slice, which is slice `index`."""
    from napari_octa_sam2.automatic.prompting import prompts_from

    made = prompts_from(found, kind=kind, at=(0,), most=most, negatives=negatives)
    moved = tuple(replace(prompt, slice=index) for prompt in made.prompts)
    return replace(made, prompts=moved)
