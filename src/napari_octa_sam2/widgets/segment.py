"""The Segment dock: pick an image, click, look, propagate, correct, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import create_widget
from napari.layers import Image, Points
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.annotation import Annotation
from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.model.registry import get_entry, model_names
from napari_octa_sam2.volume.writers import write_labels
from napari_octa_sam2.widgets._objects import ObjectTable
from napari_octa_sam2.widgets._worker import (
    Done,
    EngineRunner,
    Ended,
    Forget,
    Message,
    Open,
    Opened,
    Preview,
    Propagate,
    Response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

REFRESH_MS = 50
LOCAL_CHECKPOINT = "Local checkpoint …"
KEYS = {
    "positive": "W",
    "toggle": "Q",
    "box": "R",
    "object": "N",
    "undo": "U",
    "propagate": "G",
    "cancel": "Escape",
}
LABEL_FORMATS = "OME-Zarr (*.ome.zarr);;NIfTI (*.nii.gz);;TIFF (*.tif);;NumPy (*.npy)"


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
        self.runner = EngineRunner(self._respond)
        self._checkpoint = ""
        self._opened: tuple[int, str, str] | None = None
        self._build()
        self._refresh_timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._refresh_timer.timeout.connect(self._refresh_labels)
        # Deferred: closing the viewer removes every layer, one after the other.
        self._check_timer = QTimer(self, singleShot=True, interval=0)
        self._check_timer.timeout.connect(self._check_layers)
        self._download_timer = QTimer(self, interval=200)
        self._download_timer.timeout.connect(self._show_download)
        layers = napari_viewer.layers
        layers.events.inserted.connect(self._layers_changed)
        layers.events.removed.connect(self._layers_changed)
        self._bind_keys()
        runner = self.runner
        self.destroyed.connect(lambda: runner.close())
        self._image_changed()

    # building --------------------------------------------------------------

    def _build(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        column.addWidget(self._source_box())
        column.addWidget(self._objects_box())
        column.addWidget(self._prompts_box())
        column.addWidget(self._propagate_box())
        column.addWidget(self._files_box())
        self.status = QLabel()
        self.status.setWordWrap(True)
        column.addWidget(self.status)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setMinimumWidth(300)

    def _source_box(self) -> QGroupBox:
        self.image_choice = create_widget(annotation=Image, label="Image")
        self.model_choice = QComboBox()
        for name in model_names():
            entry = get_entry(name)
            size = f" – {entry.size_mb:.0f} MB download" if entry.url else ""
            self.model_choice.addItem(f"{entry.title}{size}", name)
        self.model_choice.addItem(LOCAL_CHECKPOINT, "")
        self.device_choice = QComboBox()
        self.device_choice.addItems(["auto", "cuda", "mps", "cpu"])
        box, form = _form("Source")
        form.addRow("Image", self.image_choice.native)
        form.addRow("Model", self.model_choice)
        form.addRow("Device", self.device_choice)
        self.image_choice.changed.connect(self._image_changed)
        self.model_choice.activated.connect(self._model_chosen)
        self.device_choice.activated.connect(self._image_changed)
        return box

    def _objects_box(self) -> QGroupBox:
        self.table = ObjectTable()
        self.table.selected.connect(self._object_selected)
        self.table.renamed.connect(self._object_renamed)
        self.new_button = _button("New", "object", self.new_object, "Add an object")
        self.remove_button = _button(
            "Remove", None, self.remove_object, "Remove the object and its prompts"
        )
        box = QGroupBox("Objects")
        column = QVBoxLayout(box)
        column.addWidget(self.table)
        column.addLayout(_row(self.new_button, self.remove_button))
        return box

    def _prompts_box(self) -> QGroupBox:
        self.click_button = _button(
            "Click", "positive", self.click_tool, "Click on the object; Ctrl-click off it"
        )
        self.polarity_button = _button(
            "Positive", "toggle", self.toggle_polarity, "What the next clicks say"
        )
        self.box_button = _button("Box", "box", self.box_tool, "Drag a box around it")
        self.undo_button = _button(
            "Undo", "undo", self.undo, "Take the last prompt back"
        )
        self.points_choice = create_widget(
            annotation=Points, options={"nullable": True}
        )
        self.adopt_button = _button(
            "Use points", None, self.adopt_points,
            "Give the points of this layer to the selected object",
        )
        box = QGroupBox("Prompts")
        column = QVBoxLayout(box)
        column.addLayout(_row(self.click_button, self.polarity_button))
        column.addLayout(_row(self.box_button, self.undo_button))
        column.addLayout(_row(self.points_choice.native, self.adopt_button))
        return box

    def _propagate_box(self) -> QGroupBox:
        self.direction_choice = QComboBox()
        self.direction_choice.addItems(["both", "forward", "backward"])
        self.first_slice, self.last_slice = QSpinBox(), QSpinBox()
        self.propagate_button = _button(
            "Propagate", "propagate", self.propagate, "Follow all objects"
        )
        self.cancel_button = _button(
            "Cancel", "cancel", self.cancel, "Stop after this slice; keep what is done"
        )
        self.cancel_button.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setVisible(False)
        box, form = _form("Propagate")
        form.addRow("Direction", self.direction_choice)
        form.addRow("Slices", _row(self.first_slice, QLabel("to"), self.last_slice))
        form.addRow(_row(self.propagate_button, self.cancel_button))
        form.addRow(self.progress)
        return box

    def _files_box(self) -> QGroupBox:
        box = QGroupBox("Files")
        column = QVBoxLayout(box)
        ask = self._ask_path
        load = _button(
            "Load prompts …", None, lambda: ask("Load prompts", self.load_prompts)
        )
        save = _button(
            "Save prompts …",
            None,
            lambda: ask("Save prompts", self.save_prompts, save="prompts.json"),
        )
        labels = _button(
            "Save labels …",
            None,
            lambda: ask("Save labels", self.save_labels, save="labels.ome.zarr"),
        )
        column.addLayout(_row(load, save))
        column.addWidget(labels)
        return box

    # actions of the user ---------------------------------------------------

    def click_tool(self) -> None:
        """Make clicks on the canvas prompts."""
        if annotation := self._annotate():
            self.viewer.layers.selection.active = annotation.points
            annotation.points.mode = "add"

    def box_tool(self) -> None:
        """Make drags on the canvas box prompts."""
        if annotation := self._annotate():
            self.viewer.layers.selection.active = annotation.boxes
            annotation.boxes.mode = "add_rectangle"

    def toggle_polarity(self) -> None:
        """Switch between positive and negative clicks."""
        if annotation := self._annotate():
            annotation.set_polarity(not annotation.positive)
            word = "Positive" if annotation.positive else "Negative"
            self.polarity_button.setText(f"{word} [{KEYS['toggle']}]")
            self._say(f"The next clicks are {word.lower()}.")

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
        layer = self.points_choice.value
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
        low, high = sorted((self.first_slice.value(), self.last_slice.value()))
        direction = self.direction_choice.currentText()
        self.cancel_button.setEnabled(True)
        self.propagate_button.setEnabled(False)
        self._say("Propagating …")
        self.runner.submit(Propagate(direction, range(low, high + 1)))

    def cancel(self) -> None:
        """Stop the propagation or download after what is being computed now."""
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
        annotation = self.annotation
        names = {o.id: o.name for o in annotation.objects.values()}
        classes = {o.id: o.cls for o in annotation.objects.values()}
        record = {"prompts": annotation.prompts().to_json(), "model": self._model()}
        labels = annotation.labels.data.reshape(annotation.data.shape)
        try:
            write_labels(
                path, labels, annotation.geometry,
                names=names, classes=classes, metadata=record,
            )
        except OctaError as error:
            self._warn(str(error))
            return
        self._say(f"Saved the labels to {path}.")

    # the annotation and its session ----------------------------------------

    def _annotate(self) -> Annotation | None:
        """Return the annotation of the chosen image, begun if need be."""
        image = self.image_choice.value
        if image is None:
            self._warn(
                "Open an image first: drag a volume into the viewer, or try "
                "File > Open Sample > OCTA SAM 2."
            )
            return None
        if self.annotation is None or self.annotation.image is not image:
            if self.annotation is not None:
                self.annotation.close()
                self.annotation = None
            try:
                self.annotation = Annotation(self.viewer, image, self._edited)
            except OctaError as error:
                self._warn(str(error))
                return None
            self._show_objects()
        self._open_session()
        return self.annotation

    def _open_session(self) -> None:
        """Load the model for the chosen image, unless that is under way or done."""
        if self.annotation is None:
            return
        wanted = (id(self.annotation), self._model(), self.device_choice.currentText())
        if wanted == self._opened:
            return
        self._opened = wanted
        self._say("Loading the model …")
        self._download_timer.start()
        self.runner.submit(Open(self.annotation.data, *wanted[1:]))
        self.annotation.resend()
        self._send_edits()

    def _model(self) -> str:
        return self.model_choice.currentData() or self._checkpoint

    def _model_chosen(self) -> None:
        if not self.model_choice.currentData():
            path, _ = QFileDialog.getOpenFileName(
                self, "Checkpoint", "", "Checkpoints (*.pt *.pth *.safetensors)"
            )
            if not path:
                self.model_choice.setCurrentIndex(0)
            self._checkpoint = path
        self._image_changed()

    def _image_changed(self) -> None:
        image = self.image_choice.value
        if image is not None:
            last = 0 if image.ndim < 3 else image.data.shape[-3] - 1
            for spin, value in ((self.first_slice, 0), (self.last_slice, last)):
                spin.setRange(0, last)
                spin.setValue(value)
        if self.annotation is not None and self.annotation.image is image:
            self._open_session()
        elif image is None:
            self._say("Open an OCTA volume, or File > Open Sample > OCTA SAM 2.")
        else:
            self._say(
                f"Press Click [{KEYS['positive']}], then click on a vessel or the FAZ."
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
            self._say(f"Ready: {response.text}.")
        elif isinstance(response, Ended):
            self._propagation_ended()
            if response.steps == 0:
                self._say("Every slice of the range follows from the prompts already.")
            elif response.step < response.steps:
                self._say(
                    f"Stopped after {response.step} of {response.steps} slices; what "
                    "is done is kept. Propagate goes on from here."
                )
            else:
                self._say(f"Propagated {response.steps} slices.")
        else:
            self._show_message(response)

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
            self.progress.setVisible(True)
            self.progress.setRange(0, done.steps)
            self.progress.setValue(done.step)
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
        self.progress.setVisible(False)
        self.cancel_button.setEnabled(False)
        self.propagate_button.setEnabled(True)
        self._refresh_labels()

    def _refresh_labels(self) -> None:
        if self.annotation is not None:
            self.annotation.labels.refresh()

    def _show_download(self) -> None:
        if self.runner.download is not None:
            done, total = self.runner.download
            share = f"{done / total:.0%} of " if total else ""
            self.cancel_button.setEnabled(True)
            self._say(f"Downloading the model: {share}{(total or done) / 1e6:.0f} MB")

    # small things ----------------------------------------------------------

    def _object_selected(self, object_id: int) -> None:
        if self.annotation is not None:
            self.annotation.select_object(object_id)

    def _object_renamed(self, object_id: int, name: str, cls: str) -> None:
        if self.annotation is not None:
            self.annotation.rename_object(object_id, name, cls)

    def _show_objects(self) -> None:
        if self.annotation is not None:
            annotation = self.annotation
            self.table.show_objects(
                annotation.objects, annotation.current, annotation.labels
            )

    def _layers_changed(self) -> None:
        self.image_choice.reset_choices()
        self.points_choice.reset_choices()
        if self.annotation is not None:
            self._check_timer.start()

    def _check_layers(self) -> None:
        """Keep what a user deleted by mistake: the annotation is whole, or closed."""
        annotation = self.annotation
        if annotation is None:
            return
        layers = self.viewer.layers
        if annotation.image not in layers:
            self._close_annotation(annotation)
            return
        for layer in (annotation.labels, annotation.boxes, annotation.points):
            if layer not in layers:
                layers.append(layer)
                self._warn(
                    f"The layer {layer.name} belongs to the annotation and was put "
                    "back; remove objects in the table instead."
                )

    def _close_annotation(self, annotation: Annotation) -> None:
        self.runner.close()
        annotation.close()
        self.annotation = self._opened = None
        self._propagation_ended()
        if annotation.labels in self.viewer.layers:
            self._warn(
                f"The image {annotation.image.name} was removed. Prompts and labels are "
                "kept as layers; open the image again to go on."
            )

    def _ask_path(
        self, title: str, use: Callable[[str], None], save: str = ""
    ) -> None:
        if save:
            kind = "Prompts (*.json)" if save.endswith(".json") else LABEL_FORMATS
            path, _ = QFileDialog.getSaveFileName(self, title, save, kind)
        else:
            path, _ = QFileDialog.getOpenFileName(self, title, "", "Prompts (*.json)")
        if path:
            use(path)

    def _bind_keys(self) -> None:
        actions = {
            "positive": self.click_tool,
            "toggle": self.toggle_polarity,
            "box": self.box_tool,
            "object": self.new_object,
            "undo": self.undo,
            "propagate": self.propagate,
            "cancel": self.cancel,
        }
        for name, action in actions.items():
            self.viewer.bind_key(
                KEYS[name], lambda viewer, run=action: run(), overwrite=True
            )

    def _say(self, text: str) -> None:
        self.status.setText(text)

    def _warn(self, text: str) -> None:
        show_warning(text)
        self._say(text)

    def closeEvent(self, event: object) -> None:
        """Release keys and threads; layers stay."""
        for key in KEYS.values():
            self.viewer.keymap.pop(key, None)
        self.runner.close()
        super().closeEvent(event)


def _button(
    text: str, key: str | None, action: Callable[[], None], tip: str = ""
) -> QPushButton:
    button = QPushButton(f"{text} [{KEYS[key]}]" if key else text)
    button.setToolTip(tip)
    button.clicked.connect(lambda: action())
    return button


def _form(title: str) -> tuple[QGroupBox, QFormLayout]:
    box = QGroupBox(title)
    return box, QFormLayout(box)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
