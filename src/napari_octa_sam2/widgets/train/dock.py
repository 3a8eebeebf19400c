"""The Train dock: choose data and a recipe, start, watch, use the model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Qt, QTimer, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QMessageBox, QTextBrowser, QVBoxLayout, QWidget

from napari_octa_sam2.errors import OctaError, TrainingError
from napari_octa_sam2.training.folder import Status, TrainingFolder
from napari_octa_sam2.widgets.controls import Dock
from napari_octa_sam2.widgets.task import TaskRunner
from napari_octa_sam2.widgets.train import panels, process
from napari_octa_sam2.widgets.train.data import (
    Checked,
    LayerPair,
    Request,
    check,
    new_folder,
    report,
    verdict,
)
from napari_octa_sam2.widgets.train.following import TrainingPanel
from napari_octa_sam2.widgets.train.view import (
    View,
    explanation,
    judgement,
    look,
    progress_text,
)

if TYPE_CHECKING:
    import napari

    from napari_octa_sam2.training.recipe import Recipe

D = TypeVar("D", bound=Dock)

POLL_MS = 500
SCROLL_BAR = 16  # pixels
INTERRUPTED = "A training was interrupted: choose it here to go on with it."
RESUMABLE = ("new", "stopped", "interrupted", "failed")


class TrainWidget(Dock):
    """Fine-tune a model on labelled slices, in a process of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    progressed = Signal(int, int)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.runner = TaskRunner(self.say, self._set_running)
        self._looker = TaskRunner(lambda text: None, lambda running: None)
        self._checked: Checked | None = None
        self._draft: Path | None = None
        self._path: Path | None = None  # of the training that is shown
        self._view: View | None = None
        self._shown: Status | None = None
        self._cancelled = self._busy = False
        self._build()
        self.progressed.connect(self._show_progress)
        events = napari_viewer.layers.events
        self._watched = (events.inserted, events.removed, events.renamed)
        for event in self._watched:
            event.connect(self._offer_layers)
        self._offer_layers()
        self.timer = QTimer(self, interval=POLL_MS)
        self.timer.timeout.connect(self.poll)
        self.training.enable(())
        self.training.show_details(False, None)
        self.runner.start("Reading the recipes", _read_recipes, self._offer_recipes)

    def _build(self) -> None:
        self.data = panels.DataPanel(self.add_layers)
        self.recipe = panels.RecipePanel()
        self.run = panels.RunPanel(self.check, self.start)
        self.training = TrainingPanel(
            {
                "Pause": self.pause,
                "Resume": self.resume,
                "Cancel": self.cancel,
                "Remove": self.remove,
                "Use this model": self.use_model,
                "Model card": self.show_card,
                "Open folder": self.open_folder,
            }
        )
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (self.data, self.recipe, self.run, self.status, self.training):
            column.addWidget(part)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.data.sources.changed.connect(self._changed)
        self.recipe.changed.connect(self._changed)
        self.training.chosen.connect(self._chosen)

    # before a training -----------------------------------------------------

    def add_layers(self) -> None:
        """Learn from the chosen image and labels."""
        image, labels = self.data.image.layer, self.data.labels.layer
        if image is None or labels is None:
            self.warn("Choose an image, and the labels that were drawn on it.")
            return
        self.data.sources.add(LayerPair(image, labels, self.data.cls.currentText()))

    def check(self) -> None:
        """Look at the data, and tell what is in them and what is wrong with them."""
        self._check(self._show_checked)

    def start(self) -> None:
        """Check the data, unless that was done, and train."""
        checked = self._checked
        is_known = checked is not None and checked.request == self._request()
        if checked is not None and is_known and not checked.request.has_layers:
            self._begin(checked)
        else:
            self._check(self._begin_checked)

    def _check(self, then: Callable[[Checked], None]) -> None:
        request = self._request()
        if request is None:
            return
        try:
            snapshots = [
                source.snapshot()
                for source in request.data
                if isinstance(source, LayerPair)
            ]
        except OctaError as error:
            self.warn(str(error))
            return
        self._drop_draft()
        self._checked, self._cancelled = None, False
        self.run.show_report("")
        self._draft = new_folder(request.recipe)
        work = partial(check, request, snapshots, self._draft, self._tell_progress)
        self.runner.start("Checking the data", work, then)

    def _request(self) -> Request | None:
        recipe = self.recipe.chosen
        if recipe is None:
            self.say("The recipes are being read; try again in a moment.")
            return None
        sources = tuple(self.data.sources.sources)
        return Request(
            recipe.name, self.recipe.other_model, sources, self.recipe.overrides
        )

    def _show_checked(self, checked: Checked) -> None:
        self._checked = checked
        self.run.show_report(report(checked.plan))
        self.say(verdict(checked.plan))
        self._show_possible()

    def _begin_checked(self, checked: Checked) -> None:
        self._show_checked(checked)
        if checked.plan.ready:
            self._begin(checked)
        else:
            show_warning(verdict(checked.plan))

    def _begin(self, checked: Checked) -> None:
        from napari_octa_sam2.training.plan import begin

        try:
            folder = begin(checked.plan, checked.folder)
        except OctaError as error:
            self.warn(str(error))
            return
        # the next training has a folder of its own
        self._draft = self._checked = None
        self._follow(folder.path)
        self._launch(folder)

    def _changed(self) -> None:
        """Forget what was found in other data, or for other settings."""
        if self._checked is not None:
            self.run.show_report("")
        self._checked = None
        self._show_possible()

    def _tell_progress(self, done: int, count: int) -> None:
        """Tell from the thread that checks; end it where that is wanted."""
        if self._cancelled or self._stopped:
            raise TrainingError("The check was cancelled.")
        self.progressed.emit(done, count)

    def _show_progress(self, done: int, count: int) -> None:
        if self.runner.busy:
            self.say(f"Checking the data: {done} of {count} samples …")

    # a training ------------------------------------------------------------

    def pause(self) -> None:
        """Have the training save and end; memory of the GPU is free then."""
        folder = self._folder()
        if folder is not None:
            folder.ask_to_stop()
            self.say("Pausing after this step …")

    def resume(self) -> None:
        """Go on with the chosen training."""
        folder = self._folder()
        if folder is not None:
            self._launch(folder)

    def cancel(self) -> None:
        """Stop what is being checked, or, if that is wanted, the chosen training."""
        if self.runner.busy:
            self._cancelled = True
            return
        folder = self._folder()
        if folder is None or not self._asked(
            "End this training now? What came after its last checkpoint is lost; "
            "Pause saves it first."
        ):
            return
        process.end(folder)
        self.say("Ending …")

    def remove(self) -> None:
        """Delete the folder of the chosen training, if that is wanted."""
        folder = self._folder()
        if folder is None or not self._asked(
            f"Delete this training, with its model and curves?\n\n{folder.path}"
        ):
            return
        if folder.is_running():
            self.warn("It is running; pause or cancel it first.")
            return
        try:
            shutil.rmtree(folder.path)
        except OSError as error:
            self.warn(f"{folder.path} cannot be deleted ({error.strerror or error}).")
        self._follow(None)

    def use_model(self) -> None:
        """Have the dock that the result is for use it; that is opened if need be."""
        folder = self._folder()
        weights = None if folder is None else folder.weights()
        if weights is None:
            self.warn("This training has no model yet.")
            return
        show = partial(self._use, weights)
        self.runner.start("Reading the model", partial(_is_promptless, weights), show)

    def _use(self, weights: Path, promptless: bool) -> None:
        from napari_octa_sam2.widgets.automatic.dock import AutomaticWidget
        from napari_octa_sam2.widgets.segment.dock import SegmentWidget

        if promptless:
            self._dock("Automatic", AutomaticWidget).use_model(str(weights))
        else:
            self._dock("Segment", SegmentWidget).source.model = str(weights)
        name = "Automatic" if promptless else "Segment"
        self.say(f"The {name} dock uses {weights.name} now.")

    def _dock(self, name: str, kind: type[D]) -> D:
        """Return the dock of a name, opened if need be."""
        for dock in self.viewer.window.dock_widgets.values():
            if isinstance(dock, kind):
                return dock
        plugin = "napari-octa-sam2"
        _, opened = self.viewer.window.add_plugin_dock_widget(plugin, name)
        return opened

    def show_card(self) -> None:
        """Show the card of the model."""
        folder = self._folder()
        weights = None if folder is None else folder.weights()
        if weights is None:
            return
        try:
            text = weights.with_suffix(".md").read_text("utf-8")
        except OSError as error:
            self.warn(f"The card cannot be read ({error.strerror or error}).")
            return
        box = QTextBrowser(self)
        box.setWindowFlags(box.windowFlags() | Qt.WindowType.Window)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle(weights.stem)
        box.setMarkdown(text)
        box.resize(520, 600)
        box.show()

    def open_folder(self) -> None:
        """Show the folder of the training in the file manager."""
        folder = self._folder()
        if folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder.path)))

    def _launch(self, folder: TrainingFolder) -> None:
        try:
            process.start(folder)
        except TrainingError as error:
            self.warn(str(error))
            return
        self.say("")
        self._shown = process.STARTING
        self._show_possible()

    # what is shown ---------------------------------------------------------

    def poll(self) -> None:
        """Look at the trainings, in a thread; the dock shows what was seen."""
        if not self._looker.busy:
            stamp = self._view.stamp if self._view is not None else ()
            work = partial(look, self._path, stamp)
            self._looker.start("Looking at the trainings", work, self._show_view)

    def showEvent(self, event: object) -> None:
        """Follow the training while that is seen, and be as wide as the controls."""
        self.setMinimumWidth(self.widget().minimumSizeHint().width() + SCROLL_BAR)
        self.timer.start()
        self.poll()
        super().showEvent(event)

    def hideEvent(self, event: object) -> None:
        """Look at nothing that is not shown."""
        self.timer.stop()
        super().hideEvent(event)

    def _show_view(self, view: View) -> None:
        first, self._view = self._view is None, view
        if first and self._path is None and self._choose_running(view):
            return
        path = None if view.folder is None else view.folder.path
        if path != self._path:
            QTimer.singleShot(0, self.poll)  # another one was chosen meanwhile
            return
        if path is not None and path not in view.states:
            self._follow(None)
            return
        self.training.offer(view.states, path)
        self._show_training(view)

    def _choose_running(self, view: View) -> bool:
        """Follow a training that runs, if there is one."""
        for path, state in view.states.items():
            if state == "running":
                self._follow(path)
                return True
        return False

    def _show_training(self, view: View) -> None:
        status, panel, before = view.status, self.training, self._shown
        if self._path is not None:
            status = process.known(self._path, status, view.output)
        self._shown = status if view.folder is not None else None
        panel.show_details(view.folder is not None, view.picture)
        self._show_possible()
        if self._shown is None:
            interrupted = "interrupted" in view.states.values()
            panel.state.setText(INTERRUPTED if interrupted else "")
            return
        panel.state.setText(explanation(status, view.output))
        panel.progress.setMaximum(1000)
        panel.progress.setValue(round(1000 * status.done))
        panel.progress.setFormat(progress_text(status))
        if view.curves is not None:
            panel.loss.show_series(view.curves.loss)
            panel.dice.show_series(view.curves.dice)
        if before is not None and before.state == "running" != status.state:
            self._ended(status)

    def _ended(self, status: Status) -> None:
        self.say("")
        if status.state == "finished":
            show_info(f"Training has finished. {judgement(status)}")
        elif status.state == "failed":
            show_warning(f"Training failed: {status.message}")

    def _possible(self) -> list[str]:
        """Return the names of the buttons that can be pressed."""
        if self._shown is None:
            return ["Cancel"] if self._busy else []
        state, names = self._shown.state, ["Open folder"]
        if state == "running" or self._busy:
            names.append("Cancel")
        if state == "running" and self._view is not None and not self._view.stopping:
            names.append("Pause")
        if state in RESUMABLE:
            names += ["Resume", "Remove"]
        if state == "finished":
            names += ["Use this model", "Model card", "Remove"]
        return names

    def _chosen(self) -> None:
        self._follow(self.training.path)

    def _follow(self, path: Path | None) -> None:
        """Show another training, or none."""
        self._path, self._shown = path, None
        if self._view is not None:
            self._view = replace(self._view, stamp=())
        for plot in (self.training.loss, self.training.dice):
            plot.show_series(())
        self.poll()

    def _folder(self) -> TrainingFolder | None:
        return None if self._path is None else TrainingFolder(self._path)

    # small things ----------------------------------------------------------

    def _offer_layers(self, event: object = None) -> None:
        self.data.offer_layers(self.viewer.layers)

    def _offer_recipes(self, recipes: dict[str, Recipe]) -> None:
        self.recipe.offer(recipes)
        self.say("Add data, then Check or Start.")

    def _set_running(self, running: bool) -> None:
        self._busy = running
        self._show_possible()

    def _show_possible(self) -> None:
        """Let nothing start twice, or with data that cannot be learned from."""
        self.training.enable(self._possible())
        idle = not self._busy and self.recipe.chosen is not None
        trains = self._shown is not None and self._shown.state == "running"
        hopeless = self._checked is not None and not self._checked.plan.ready
        self.run.check.setEnabled(idle)
        self.run.start.setEnabled(idle and not trains and not hopeless)

    def _asked(self, question: str) -> bool:
        """Return whether the user says yes."""
        answer = QMessageBox.question(self, "Train", question)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _drop_draft(self) -> None:
        """Delete layers that were written for a training that never began."""
        if self._draft is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
            self._draft = None

    def stop(self) -> None:
        """Stop looking; a training goes on."""
        self.timer.stop()
        self.runner.close()
        self._looker.close()
        for event in self._watched:
            event.disconnect(self._offer_layers)
        self._drop_draft()


def _read_recipes() -> dict[str, Recipe]:
    from napari_octa_sam2.training.recipe import read_recipe, recipe_names

    return {name: read_recipe(name) for name in recipe_names()}


def _is_promptless(weights: Path) -> bool:
    from napari_octa_sam2.model.promptless.model import is_promptless

    return is_promptless(weights)
