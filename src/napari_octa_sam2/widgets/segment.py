"""The Segment dock: pick an image, click, look, propagate, correct, save."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_octa_sam2.annotation import Annotation
from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.widgets._panels import (
    KEYS,
    FilePanel,
    ObjectPanel,
    PromptPanel,
    PropagatePanel,
    SourcePanel,
)
from napari_octa_sam2.widgets._worker import (
    Done,
    Ended,
    EngineRunner,
    Forget,
    Message,
    Open,
    Opened,
    Prefetch,
    Preview,
    Propagate,
    Response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image

REFRESH_MS = 50
DOWNLOAD_MS = 200
IDLE_MS = 300  # on a slice, until those around it are encoded
AHEAD = (0, 1, -1, 2, -2)


class SegmentWidget(QScrollArea):
    """Prompt, propagate and correct objects in an OCTA volume.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.annotation: Annotation | None = None
        self._annotations: dict[Image, Annotation] = {}
        self.runner = EngineRunner(self._respond)
        self._opened: tuple[int, str, str, str] | None = None
        self._classes: tuple[str, ...] | None = None  # of the model, once loaded
        self._build()
        self._refresh_timer = self._timer(REFRESH_MS, self._refresh_labels)
        # Deferred: closing the viewer removes every layer, one after the other.
        self._check_timer = self._timer(0, self._check_layers)
        self._download_timer = self._timer(DOWNLOAD_MS, self._show_download, True)
        self._idle_timer = self._timer(IDLE_MS, self._prefetch)
        napari_viewer.dims.events.current_step.connect(self._moved)
        events = napari_viewer.layers.events
        events.inserted.connect(self._layers_changed)
        events.removed.connect(self._layers_changed)
        self._bind_keys()
        self.destroyed.connect(partial(_release, napari_viewer, self.runner))
        self._image_changed()
        self._show_class()

    def _build(self) -> None:
        self.source = SourcePanel()
        self.objects = ObjectPanel(self.new_object, self.remove_object)
        self.prompts = PromptPanel(
            self.click_tool,
            self.toggle_polarity,
            self.box_tool,
            self.ask_for_class,
            self.undo,
            self.adopt_points,
        )
        self.propagation = PropagatePanel(self.propagate, self.cancel)
        self.files = FilePanel()
        self.status = QLabel(wordWrap=True)
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (
            self.source,
            self.objects,
            self.prompts,
            self.propagation,
            self.files,
            self.status,
        ):
            column.addWidget(part)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setMinimumWidth(300)
        self.source.image_changed.connect(self._image_changed)
        self.source.engine_changed.connect(self._open_session)
        self.objects.table.selected.connect(self._object_selected)
        self.objects.table.renamed.connect(self._object_renamed)
        self.files.load_prompts.connect(self.load_prompts)
        self.files.save_prompts.connect(self.save_prompts)
        self.files.save_labels.connect(self.save_labels)

    def _bind_keys(self) -> None:
        actions = {
            "click": self.click_tool,
            "polarity": self.toggle_polarity,
            "box": self.box_tool,
            "class": self.ask_for_class,
            "new": self.new_object,
            "undo": self.undo,
            "propagate": self.propagate,
            "cancel": self.cancel,
        }
        for name, action in actions.items():
            self.viewer.bind_key(
                KEYS[name], lambda viewer, run=action: run(), overwrite=True
            )

    def _timer(
        self, interval: int, action: Callable[[], None], repeat: bool = False
    ) -> QTimer:
        timer = QTimer(self, singleShot=not repeat, interval=interval)
        timer.timeout.connect(action)
        return timer

    # actions of the user ---------------------------------------------------

    def click_tool(self) -> None:
        """Make clicks on the canvas prompts."""
        if annotation := self._annotate():
            self.viewer.layers.selection.active = annotation.points
            annotation.points.mode = "add"

    def box_tool(self) -> None:
        """Make drags on the canvas box prompts."""
        if annotation := self._annotate():
            self.viewer.layers.selection.active = annotation.drawn.boxes
            annotation.drawn.boxes.mode = "add_rectangle"

    def ask_for_class(self) -> None:
        """Ask for everything of the current object's class on the slice shown."""
        annotation = self._annotate()
        if annotation is None:
            return
        if not self.prompts.ask.isEnabled():
            self._warn(self.prompts.ask.toolTip())
            return
        cls = annotation.ask_for_class()
        self._say(f"Looking for every {cls} on slice {annotation.shown_slice} …")

    def toggle_polarity(self) -> None:
        """Switch between positive and negative clicks."""
        if annotation := self._annotate():
            annotation.drawn.set_polarity(not annotation.drawn.positive)
            self.prompts.show_polarity(annotation.drawn.positive)
            word = "positive" if annotation.drawn.positive else "negative"
            self._say(f"The next clicks are {word}.")

    def new_object(self) -> None:
        """Add an object and select it."""
        if annotation := self._annotate():
            new = annotation.add_object()
            self._show_objects()
            self.click_tool()
            self._say(f"New prompts belong to {new.name}.")

    def remove_object(self) -> None:
        """Remove the selected object."""
        if annotation := self._annotate():
            removed = annotation.current
            self.runner.submit(Forget(removed))
            annotation.remove_object(removed)
            self._show_objects()

    def undo(self) -> None:
        """Take the last change of prompts back."""
        if annotation := self._annotate():
            done = annotation.undo()
            self._show_objects()
            self._say("Took the last prompt back." if done else "Nothing to undo.")

    def adopt_points(self) -> None:
        """Give the points of a layer to the selected object."""
        layer = self.prompts.points.value
        annotation = self._annotate()
        if annotation is None or layer is None or layer is annotation.points:
            self._say("Choose a points layer of your own first.")
            return
        try:
            self._say(f"Added {annotation.adopt_points(layer)} points.")
        except OctaError as error:
            self._warn(str(error))

    def propagate(self) -> None:
        """Follow all objects through the chosen slices."""
        annotation = self._annotate()
        if annotation is None:
            return
        self._send_edits()
        self.propagation.set_running(True)
        self._say("Propagating …")
        panel = self.propagation
        self.runner.submit(Propagate(panel.direction, panel.slices))

    def cancel(self) -> None:
        """Stop the propagation or download after what is being computed now."""
        if self.runner.busy:
            self.runner.cancel()
            self._say("Stopping after this slice …")

    def load_prompts(self, path: str | Path) -> None:
        """Replace the prompts by those of a file."""
        if annotation := self._annotate():
            try:
                annotation.load_prompts(path)
            except OctaError as error:
                self._warn(str(error))
                return
            self._show_objects()
            self._say(f"Loaded {len(annotation.prompts().prompts)} prompts.")

    def save_prompts(self, path: str | Path) -> None:
        """Write the prompts to a file."""
        if self.annotation is None:
            self._warn("There are no prompts to save yet.")
            return
        try:
            self.annotation.prompts().write(path)
        except OSError as error:
            self._warn(f"Could not save the prompts: {error}")
            return
        self._say(f"Saved the prompts to {path}.")

    def save_labels(self, path: str | Path) -> None:
        """Write the labels to a file, in the format of its suffix."""
        if self.annotation is None:
            self._warn("There are no labels to save yet.")
            return
        try:
            self.annotation.write_labels(path)
        except OctaError as error:
            self._warn(str(error))
            return
        self._say(f"Saved the labels to {path}.")

    # the annotation and its session ----------------------------------------

    def _annotate(self) -> Annotation | None:
        """Return the annotation of the chosen image, begun if need be."""
        image = self.source.image
        if image is None:
            self._warn(
                "Open an image first: drag a volume into the viewer, or try "
                "File > Open Sample > OCTA SAM 2."
            )
            return None
        if self.annotation is None or self.annotation.image is not image:
            try:
                self.annotation = self._annotation_of(image)
            except OctaError as error:
                self._warn(str(error))
                return None
            self._show_objects()
        self._open_session()
        return self.annotation

    def _annotation_of(self, image: Image) -> Annotation:
        """Return the annotation of an image, as it was left or new."""
        if image not in self._annotations:
            self._annotations[image] = Annotation(self.viewer, image, self._edited)
        return self._annotations[image]

    def _open_session(self) -> None:
        """Load the model for the chosen image, unless that is under way or done."""
        if self.annotation is None:
            return
        source = self.source
        wanted = (id(self.annotation), source.model, source.device, source.attention)
        if wanted == self._opened:
            return
        self._opened = wanted
        self._model_knows(None)
        self._say("Loading the model …")
        self._download_timer.start()
        self.runner.submit(Open(self.annotation.data, *wanted[1:]))
        self.annotation.resend()
        self._send_edits()

    def _image_changed(self) -> None:
        image = self.source.image
        if image is None:
            self._say("Open an OCTA volume, or File > Open Sample > OCTA SAM 2.")
            return
        self.propagation.set_depth(image.data.shape[-3] if image.ndim > 2 else 1)
        if self.annotation is None or self.annotation.image is not image:
            self._say(
                f"Press Click [{KEYS['click']}], then click on a vessel or the FAZ."
            )

    def _edited(self) -> None:
        self._open_session()
        self._send_edits()

    def _send_edits(self) -> None:
        if self.annotation is None:
            return
        try:
            edits = self.annotation.take_edits()
        except OctaError as error:
            self._warn(str(error))
            edits = self.annotation.take_edits()
        shown = self.annotation.shown_slice
        for edit in sorted(edits, key=lambda e: e.slice != shown):
            self.runner.submit(Preview(edit))

    # answers of the engine -------------------------------------------------

    def _respond(self, response: Response) -> None:
        if isinstance(response, Done):
            self._show_result(response)
        elif isinstance(response, Opened):
            self._download_timer.stop()
            self._propagation_ended()
            self._opened_with(response)
        elif isinstance(response, Ended):
            self._propagation_ended()
            self._say(response.text)
        else:
            self._show_message(response)

    def _opened_with(self, opened: Opened) -> None:
        record = opened.record
        if self.annotation is not None:
            self.annotation.labels.metadata["record"] = record
        self._model_knows(opened.classes)
        self._say(f"Ready: {record['model']['name']} on {record['device']}.")

    def _show_result(self, done: Done) -> None:
        annotation = self.annotation
        if annotation is None:
            return
        annotation.apply(done.result)
        if done.result.slice == annotation.shown_slice and not (
            self._refresh_timer.isActive()
        ):
            self._refresh_timer.start()
        if done.steps:
            self.propagation.show_progress(done.step, done.steps)
            self._say(f"Slice {done.result.slice}: {done.step} of {done.steps}")
        else:
            confidence = ", ".join(f"{c:.0%}" for c in done.result.confidence.values())
            self._say(f"Slice {done.result.slice}: confidence {confidence or 'none'}")

    def _show_message(self, message: Message) -> None:
        if message.failed == "Propagate":
            self._propagation_ended()
        if message.failed == "Open":
            self._opened = None
            self._download_timer.stop()
            self._propagation_ended()
        if message.failed:
            show_error(message.text)
            self._say(message.text)
        else:
            show_info(message.text)

    def _propagation_ended(self) -> None:
        self.propagation.set_running(False)
        self._refresh_labels()

    def _refresh_labels(self) -> None:
        if self.annotation is not None:
            self.annotation.labels.refresh()

    def _moved(self) -> None:
        self._idle_timer.start()

    def _prefetch(self) -> None:
        """Have the slices around the one shown ready for a click."""
        if self.annotation is not None and not self.runner.busy:
            shown = self.annotation.shown_slice
            self.runner.submit(Prefetch(tuple(shown + step for step in AHEAD)))

    def _show_download(self) -> None:
        if self.runner.download is not None:
            done, total = self.runner.download
            share = f"{done / total:.0%} of " if total else ""
            self.propagation.set_running(False, cancellable=True)
            self._say(f"Downloading the model: {share}{(total or done) / 1e6:.0f} MB")

    # small things ----------------------------------------------------------

    def _object_selected(self, object_id: int) -> None:
        if self.annotation is not None:
            self.annotation.select_object(object_id)
            self._show_class()

    def _object_renamed(self, object_id: int, name: str, cls: str) -> None:
        if self.annotation is not None:
            self.annotation.rename_object(object_id, name, cls)
            self._show_class()

    def _show_objects(self) -> None:
        if self.annotation is not None:
            annotation = self.annotation
            self.objects.table.show_objects(
                annotation.objects, annotation.current, annotation.labels
            )
            self._show_class()

    def _show_class(self) -> None:
        annotation = self.annotation
        cls = annotation.objects[annotation.current].cls if annotation else None
        self.prompts.show_class(cls, self._classes)

    def _model_knows(self, classes: tuple[str, ...] | None) -> None:
        self._classes = classes
        self._show_class()

    def _layers_changed(self) -> None:
        self.source.reset_choices()
        self.prompts.points.reset_choices()
        if self.annotation is not None:
            self._check_timer.start()

    def _check_layers(self) -> None:
        """Keep what a user deleted by mistake: the annotation is whole, or closed."""
        annotation = self.annotation
        if annotation is None:
            return
        if annotation.image not in self.viewer.layers:
            self._close_annotation(annotation)
            return
        for layer in annotation.put_layers_back():
            self._warn(
                f"The layer {layer.name} belongs to the annotation and was put back; "
                "remove objects in the table instead."
            )

    def _close_annotation(self, annotation: Annotation) -> None:
        self.runner.close()
        annotation.close()
        del self._annotations[annotation.image]
        self.annotation = self._opened = None
        self._model_knows(None)
        self._propagation_ended()
        if annotation.labels in self.viewer.layers:
            self._warn(
                f"The image {annotation.image.name} was removed. Prompts and labels "
                "are kept as layers; open the image again to go on."
            )

    def _say(self, text: str) -> None:
        self.status.setText(text)

    def _warn(self, text: str) -> None:
        show_warning(text)
        self._say(text)

    def closeEvent(self, event: object) -> None:
        """Release keys and threads; layers stay."""
        _release(self.viewer, self.runner)
        super().closeEvent(event)


def _release(viewer: napari.Viewer, runner: EngineRunner, *_: object) -> None:
    for key in KEYS.values():
        viewer.keymap.pop(key, None)
    runner.close()
