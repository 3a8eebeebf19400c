"""The Segment dock: pick an image, prompt, look, propagate, correct, review, save."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_octa_sam2.annotation import Annotation
from napari_octa_sam2.annotation.scene import warm_up
from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.settings import dock_settings
from napari_octa_sam2.widgets.controls import Dock, key_button
from napari_octa_sam2.widgets.keys import ALIASES, COMMANDS
from napari_octa_sam2.widgets.segment.commands import Commands
from napari_octa_sam2.widgets.segment.conversation import Conversation
from napari_octa_sam2.widgets.segment.files import FilePanel, ResumePanel, SourcePanel
from napari_octa_sam2.widgets.segment.objects import ObjectRow
from napari_octa_sam2.widgets.segment.panels import (
    ObjectPanel,
    PromptPanel,
    PropagatePanel,
    ReviewPanel,
)
from napari_octa_sam2.widgets.segment.strip import ConfidenceStrip
from napari_octa_sam2.widgets.segment.strip_data import StripData, StripRow
from napari_octa_sam2.widgets.segment.work import Work
from napari_octa_sam2.widgets.segment.worker import EngineRunner, Save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari
    from napari.layers import Image

REVIEW_MS = 250
PREPARE_MS = 500  # after opening, until the model is loaded
SCROLL_BAR = 16  # pixels


class SegmentWidget(Dock):
    """Prompt, propagate, correct and verify objects in an OCTA volume.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.annotation: Annotation | None = None
        self.work = Work(napari_viewer, self._edited, self.warn)
        self._began = 0.0
        self.settings = dock_settings()
        self.commands = Commands(self)
        self._build()
        self.conversation = Conversation(self)
        # Deferred: closing the viewer removes every layer, one after the other.
        self._check_timer = self._timer(0, self._check_layers)
        self._review_timer = self._timer(REVIEW_MS, self.show_state)
        self._save_timer = self._timer(self.settings.autosave_ms, self._save_copies)
        napari_viewer.dims.events.current_step.connect(self._moved)
        events = napari_viewer.layers.events
        events.inserted.connect(self._layers_changed)
        events.removed.connect(self._layers_changed)
        self._bind_keys(self.viewer)
        self.destroyed.connect(partial(_release, napari_viewer, self.runner, self.work))
        self._image_changed()
        self.show_class()
        self._timer(PREPARE_MS, self._prepare).start()

    @property
    def runner(self) -> EngineRunner:
        """What owns the worker thread."""
        return self.conversation.runner

    def _build(self) -> None:
        act = self.commands.run
        self.source = SourcePanel()
        self.earlier = ResumePanel(act)
        self.objects = ObjectPanel(act)
        self.prompts = PromptPanel(act)
        self.propagation = PropagatePanel(act)
        self.review = ReviewPanel(act)
        self.files = FilePanel()
        self.strip = ConfidenceStrip()
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (
            self.status,
            self.source,
            self.earlier,
            self.objects,
            self.prompts,
            self.propagation,
            self.review,
            self.files,
            key_button("help", act),
        ):
            column.addWidget(part)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._connect()
        self.source.model = self.settings.model
        self.source.device = self.settings.device
        self.review.threshold = self.settings.threshold
        self._strip_dock = self.viewer.window.add_dock_widget(
            self.strip, name="Confidence", area="bottom", add_vertical_stretch=False
        )
        self._strip_dock.hide()

    def _connect(self) -> None:
        self.source.image_changed.connect(self._image_changed)
        self.source.engine_changed.connect(self._engine_changed)
        table = self.objects.table
        table.selected.connect(self._object_selected)
        table.renamed.connect(lambda i, name: self._change_object(i, name=name))
        table.classified.connect(lambda i, cls: self._change_object(i, cls=cls))
        table.locked.connect(lambda i, on: self._change_object(i, locked=on))
        table.shown.connect(self._show_object)
        self.prompts.suppress.connect(self._suppress)
        self.review.threshold_changed.connect(lambda _: self.show_state())
        self.strip.picked.connect(self.go_to)
        self.files.load_prompts.connect(self.commands.load_prompts)
        self.files.save_prompts.connect(self.commands.save_prompts)
        self.files.save_labels.connect(self.commands.save_labels)

    def _bind_keys(self, target: object) -> None:
        """Bind the keys to the viewer or to a layer, whose own keys come first."""
        keys = {command.key: name for name, command in COMMANDS.items()} | ALIASES
        for key, name in keys.items():
            run = partial(self.commands.run, name)
            target.bind_key(key, lambda _, run=run: run(), overwrite=True)

    def _prepare(self) -> None:
        """Load what the first click would have to wait for."""
        if not self._stopped:
            self.conversation.prepare()
            warm_up()

    def _bind_to_layers(self, annotation: Annotation) -> None:
        for layer in annotation.scene.layers:
            self._bind_keys(layer)

    def _timer(self, interval: int, action: Callable[[], None]) -> QTimer:
        timer = QTimer(self, singleShot=True, interval=interval)
        timer.timeout.connect(action)
        return timer

    # the annotation --------------------------------------------------------

    def annotate(self) -> Annotation | None:
        """Return the annotation of the chosen image, begun if need be."""
        image = self.source.image
        if image is None:
            self.warn(
                "Open an image first: drag a volume into the viewer, or try "
                "File > Open Sample > OCTA SAM 2."
            )
            return None
        if self.annotation is None or self.annotation.image is not image:
            try:
                self.annotation = self.work.of(image)
            except OctaError as error:
                self.warn(str(error))
                return None
            self._bind_to_layers(self.annotation)
            self.show_state()
        self.conversation.open_session()
        return self.annotation

    def resume(self) -> None:
        """Go on with the newest earlier work on the chosen image."""
        image = self.source.image
        earlier = None if image is None else self.work.earlier(image)
        if earlier is None:
            return
        try:
            self.annotation = self.work.resume(image, earlier[0])
        except OctaError as error:
            self.warn(str(error))
            return
        self._bind_to_layers(self.annotation)
        self.earlier.hide()
        self.conversation.open_session()
        self.show_state()
        self.say(f"Going on with {earlier[0].name}.")

    def start_anew(self) -> None:
        """Leave earlier work as it is."""
        self.earlier.hide()

    def click_at_depths(
        self, image: Image, depths: Sequence[int], row: int, col: int
    ) -> None:
        """Click on an object where the flow of an en-face pixel lies.

        Parameters
        ----------
        image : napari.layers.Image
            The volume that a projection was clicked of.
        depths : sequence of int
            Slices, that of the strongest flow first.
        """
        self.source.image = image
        annotation = self.annotate()
        if annotation is None:
            return
        positive = int(annotation.drawn.positive)
        clicks = [
            Prompt(annotation.current, index, ((float(row), float(col)),), (positive,))
            for index in depths
        ]
        try:
            annotation.add_prompts(clicks)
        except OctaError as error:
            self.warn(str(error))
        self.go_to(depths[0], annotation.current)
        slices = ", ".join(map(str, depths))
        self.say(f"Clicked on slice {slices}, at row {row}, column {col}.")

    def adopt(self, image: Image, adopt: Callable[[Annotation], int]) -> int:
        """Have the annotation of an image take objects over; return how many.

        Parameters
        ----------
        image : napari.layers.Image
        adopt : callable
            Called with the annotation, returns how many objects it has taken over.
        """
        self.source.image = image
        annotation = self.annotate()
        if annotation is None:
            return 0
        if self.conversation.propagating:
            self.warn("Cancel the propagation first [Escape].")
            return 0
        try:
            count = adopt(annotation)
        except OctaError as error:
            self.warn(str(error))
            return 0
        self.show_state()
        key = COMMANDS["doubtful"].key
        self.say(f"Took {count} objects over; look at the doubtful ones [{key}].")
        return count

    def _image_changed(self) -> None:
        image = self.source.image
        self.earlier.hide()
        if image is None:
            self.say("Open an OCTA volume, or File > Open Sample > OCTA SAM 2.")
            return
        self.propagation.span.set_depth(image.data.shape[-3] if image.ndim > 2 else 1)
        if self.annotation is not None and self.annotation.image is image:
            return
        key = COMMANDS["click"].key
        self.say(f"Press Click [{key}], then click on a vessel or the FAZ.")
        if image not in self.work and (earlier := self.work.earlier(image)):
            self.earlier.offer(
                f"You worked on this volume until {earlier[1]:%Y-%m-%d %H:%M}."
            )

    def _engine_changed(self) -> None:
        if self.annotation is not None:
            self.conversation.open_session()

    def _edited(self) -> None:
        self.earlier.hide()
        self.conversation.open_session()
        self.conversation.send_edits()
        self.show_review_soon()
        self._save_timer.start()

    def _save_copies(self) -> None:
        """Have labels and prompts written beside the journal."""
        annotation = self.annotation
        if annotation is not None and annotation.project is not None:
            self.runner.submit(Save(annotation.copies().write))
            where = annotation.project.path
            self.files.saved.setText(f"Saved {datetime.now():%H:%M} in {where.name}")
            self.files.saved.setToolTip(str(where))

    # what is shown ---------------------------------------------------------

    def go_to(self, index: int, object_id: int) -> None:
        """Show a slice, and select an object."""
        annotation = self.annotation
        if annotation is not None:
            if annotation.image.ndim > 2:
                self.viewer.dims.set_current_step(
                    self.viewer.dims.ndim - annotation.image.ndim, index
                )
            if object_id in annotation.objects:
                self._object_selected(object_id)
                self.show_state()

    def show_progress(self, what: str, index: int, number: int) -> None:
        """Show how far the work is, and how long it takes still."""
        if number == 1:
            self._began = time.monotonic()
        steps = self.propagation.show_progress(number)
        left = ""
        if number > 1:
            pace = (time.monotonic() - self._began) / (number - 1)
            left = f", {_duration(pace * (steps - number))} left"
        self.say(f"{what} {index}: {number} of {steps}{left}")

    def show_review_soon(self) -> None:
        """Show objects and confidence anew, at most four times a second."""
        if not self._review_timer.isActive():
            self._review_timer.start()

    def show_state(self) -> None:
        """Show the objects, what is known of them, and what is to be looked at."""
        annotation = self.annotation
        if annotation is None:
            return
        rows = [_row(annotation, i) for i in annotation.objects]
        self.objects.table.show_objects(rows, annotation.current)
        prompts = annotation.prompts()
        self.prompts.show_suppress(prompts.suppress)
        self.review.show_left(
            len(annotation.doubtful(self.review.threshold)), len(prompts.locks)
        )
        self.strip.set_data(_strip_data(annotation, rows))
        self._strip_dock.setVisible(annotation.image.ndim > 2)
        self.show_class()

    def show_class(self) -> None:
        """Offer to ask for all of a class, where that can be."""
        annotation = self.annotation
        cls = annotation.objects[annotation.current].cls if annotation else None
        self.prompts.show_class(cls, self.conversation.classes)

    def _moved(self) -> None:
        self.conversation.moved()
        if self.annotation is not None:
            self.strip.set_current(self.annotation.shown_slice)

    def _object_selected(self, object_id: int) -> None:
        if self.annotation is not None:
            self.annotation.select_object(object_id)
            self.show_class()

    def _change_object(self, object_id: int, **fields: object) -> None:
        if self.annotation is not None:
            self.annotation.change_object(object_id, **fields)
            self.show_state()

    def _show_object(self, object_id: int, visible: bool) -> None:
        if self.annotation is not None:
            self.annotation.scene.set_visible(object_id, visible)
            self.show_state()

    def _suppress(self, on: bool) -> None:
        annotation = self.annotate()
        if annotation is not None:
            try:
                annotation.suppress(on)
            except OctaError as error:
                self.warn(str(error))
            self.show_state()

    # layers come and go ----------------------------------------------------

    def _layers_changed(self) -> None:
        self.source.reset_choices()
        self.prompts.layer.reset_choices()
        if self.annotation is not None:
            self._check_timer.start()

    def _check_layers(self) -> None:
        """Keep what a user deleted by mistake: the annotation is whole, or closed."""
        annotation = self.annotation
        if annotation is None:
            return
        if annotation.image not in self.viewer.layers:
            self._close_annotation(annotation)
            if annotation.labels in self.viewer.layers:
                self.warn(
                    f"The image {annotation.image.name} was removed. Prompts and "
                    "labels are kept as layers; open the image again to go on."
                )
            return
        for layer in annotation.scene.put_layers_back():
            self.warn(
                f"The layer {layer.name} belongs to the annotation and was put back; "
                "remove objects in the table instead."
            )

    def _close_annotation(self, annotation: Annotation) -> None:
        self.annotation = None
        self.conversation.close()
        self.work.close(annotation)
        self._strip_dock.hide()

    def showEvent(self, event: object) -> None:
        """Be as wide as the controls are in napari's style."""
        self.setMinimumWidth(self.widget().minimumSizeHint().width() + SCROLL_BAR)
        super().showEvent(event)

    def stop(self) -> None:
        """Release keys, threads and projects; layers stay."""
        events = self.viewer.layers.events
        events.inserted.disconnect(self._layers_changed)
        events.removed.disconnect(self._layers_changed)
        self.viewer.dims.events.current_step.disconnect(self._moved)
        _release(self.viewer, self.runner, self.work)
        self.annotation = None
        with suppress(LookupError, RuntimeError):  # the window may be gone already
            self.viewer.window.remove_dock_widget(self._strip_dock)


def _release(
    viewer: napari.Viewer, runner: EngineRunner, work: Work, *_: object
) -> None:
    for key in [*(command.key for command in COMMANDS.values()), *ALIASES]:
        viewer.keymap.pop(key, None)
    runner.close()
    work.close_all()


def _row(annotation: Annotation, object_id: int) -> ObjectRow:
    obj = annotation.objects[object_id]
    return ObjectRow(
        object_id,
        obj.name,
        obj.cls,
        annotation.scene.colour(object_id),
        object_id not in annotation.scene.hidden,
        obj.locked,
        annotation.scene.extent(object_id),
        annotation.engine.review.mean(object_id),
    )


def _strip_data(annotation: Annotation, rows: list[ObjectRow]) -> StripData:
    depth = len(annotation.data)
    return StripData(
        depth,
        tuple(
            StripRow(
                row.id,
                row.name,
                row.colour,
                annotation.engine.review.row(row.id, depth),
                **vars(annotation.marks(row.id)),
                agreement=annotation.engine.review.agreement_row(row.id, depth),
            )
            for row in rows
        ),
        annotation.shown_slice,
        annotation.geometry.spacing[0] if annotation.geometry.known else None,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
