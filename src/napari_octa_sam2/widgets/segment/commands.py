"""What users do in the Segment dock, one function each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Points
from qtpy.QtWidgets import QMessageBox

from napari_octa_sam2.errors import OctaError, PromptError
from napari_octa_sam2.review import next_doubtful
from napari_octa_sam2.widgets.keys import help_text

if TYPE_CHECKING:
    from napari_octa_sam2.annotation import Annotation
    from napari_octa_sam2.widgets.segment.dock import SegmentWidget

TOOLS = {  # layer of the annotation, its mode, what to do
    "click": ("points", "add", "Click on the object; Ctrl-click beside it."),
    "box": ("shapes", "add_rectangle", "Drag a box around the object."),
    "scribble": ("shapes", "add_path", "Draw along the vessel."),
    "lasso": ("shapes", "add_polygon_lasso", "Draw the outline of the object."),
    "paint": ("labels", "paint", "Paint the object; Ctrl and drag changes the size."),
}


SETTLED = ("undo", "redo", "remove", "merge", "split", "copy", "propagate", "check")


class Commands:
    """Runs actions by their names, and tells users where they cannot be done.

    Parameters
    ----------
    dock : SegmentWidget
    """

    def __init__(self, dock: SegmentWidget) -> None:
        self.dock = dock

    def run(self, name: str) -> None:
        """Do what is called `name`."""
        if name in ("cancel", "help", "resume", "start_anew"):
            self._plain()[name]()
            return
        annotation = self.dock.annotate()
        if annotation is None:
            return
        if name in SETTLED and self.dock.conversation.propagating:
            self.dock.say("Cancel the propagation first [Escape].")
            return
        try:
            if name in TOOLS:
                self._tool(annotation, *TOOLS[name])
            else:
                said = self._on(name)(annotation)
                if said:
                    self.dock.say(said)
        except OctaError as error:
            self.dock.warn(str(error))
        self.dock.show_state()

    def load_prompts(self, path: str | Path) -> None:
        """Replace the prompts by those of a file."""
        annotation = self.dock.annotate()
        if annotation is None:
            return
        try:
            annotation.load_prompts(path)
        except OctaError as error:
            self.dock.warn(str(error))
            return
        self.dock.show_state()
        self.dock.say(f"Loaded {len(annotation.prompts().prompts)} prompts.")

    def save_prompts(self, path: str | Path) -> None:
        """Write the prompts to a file."""
        if self.dock.annotation is None:
            self.dock.warn("There are no prompts to save yet.")
            return
        try:
            self.dock.annotation.prompts().write(path)
        except OSError as error:
            self.dock.warn(f"Could not save the prompts: {error}")
            return
        self.dock.say(f"Saved the prompts to {path}.")

    def save_labels(self, path: str | Path) -> None:
        """Write the labels to a file, in the format of its suffix."""
        if self.dock.annotation is None:
            self.dock.warn("There are no labels to save yet.")
            return
        try:
            self.dock.annotation.write_labels(path)
        except OctaError as error:
            self.dock.warn(str(error))
            return
        self.dock.say(f"Saved the labels to {path}.")

    def _plain(self) -> dict[str, Callable[[], Any]]:
        dock = self.dock
        return {
            "cancel": dock.conversation.cancel,
            "help": self._help,
            "resume": dock.resume,
            "start_anew": dock.start_anew,
        }

    def _on(self, name: str) -> Callable[[Annotation], str | None]:
        found: Callable[[Annotation], str | None] = getattr(self, f"_{name}")
        return found

    def _help(self) -> None:
        box = QMessageBox(self.dock)
        box.setWindowTitle("Keys of the Segment dock")
        box.setText(help_text())
        box.setModal(False)
        box.show()

    def _tool(self, annotation: Annotation, layer: str, mode: str, text: str) -> None:
        chosen = {
            "points": annotation.points,
            "shapes": annotation.drawn.shapes,
            "labels": annotation.labels,
        }[layer]
        self.dock.viewer.layers.selection.active = chosen
        chosen.mode = mode
        self.dock.say(text)

    def _polarity(self, annotation: Annotation) -> str:
        annotation.drawn.set_polarity(not annotation.drawn.positive)
        self.dock.prompts.show_polarity(annotation.drawn.positive)
        word = "positive" if annotation.drawn.positive else "negative"
        return f"The next clicks and scribbles are {word}."

    def _class(self, annotation: Annotation) -> str:
        ask = self.dock.prompts.ask
        if not ask.isEnabled():
            raise PromptError(ask.toolTip())
        cls = annotation.ask_for_class()
        return f"Looking for every {cls} on slice {annotation.shown_slice} …"

    def _absent(self, annotation: Annotation) -> None:
        annotation.mark_absent()

    def _first(self, annotation: Annotation) -> str:
        annotation.mark_first()
        return f"It begins on slice {annotation.shown_slice}."

    def _last(self, annotation: Annotation) -> str:
        annotation.mark_last()
        return f"It ends on slice {annotation.shown_slice}."

    def _new(self, annotation: Annotation) -> str:
        new = annotation.add_object()
        self._tool(annotation, *TOOLS["click"])
        return f"New prompts belong to {new.name}."

    def _next(self, annotation: Annotation) -> str:
        ids = list(annotation.objects)
        following = ids[(ids.index(annotation.current) + 1) % len(ids)]
        annotation.select_object(following)
        return f"New prompts belong to {annotation.objects[following].name}."

    def _remove(self, annotation: Annotation) -> None:
        annotation.remove_object(annotation.current)

    def _merge(self, annotation: Annotation) -> str:
        ids = self.dock.objects.table.chosen
        annotation.merge_objects(ids)
        annotation.select_object(min(ids))
        return f"Made {len(ids)} objects one; Propagate follows it anew."

    def _split(self, annotation: Annotation) -> str:
        return f"Made {len(annotation.split_object(annotation.current)) + 1} objects."

    def _copy(self, annotation: Annotation) -> str:
        return f"Made {annotation.duplicate_object(annotation.current).name}."

    def _undo(self, annotation: Annotation) -> str:
        return self._travel(annotation.undo, "Took the last step back.", "undo")

    def _redo(self, annotation: Annotation) -> str:
        return self._travel(annotation.redo, "Did it again.", "redo")

    def _travel(self, go: Callable[[], bool], done: str, word: str) -> str:
        return done if go() else f"Nothing to {word}."

    def _adopt(self, annotation: Annotation) -> str:
        layer = self.dock.prompts.layer.value
        if isinstance(layer, Points) and layer is not annotation.points:
            return f"Added {annotation.adopt_points(layer)} points."
        if isinstance(layer, Labels) and layer is not annotation.labels:
            lines = self.dock.prompts.centre_lines
            count = annotation.adopt_labels(layer, centre_lines=lines)
            return f"Added {count} objects of slice {annotation.shown_slice}."
        raise PromptError("Choose a points or labels layer of your own first.")

    def _propagate(self, annotation: Annotation) -> None:
        panel = self.dock.propagation
        self.dock.conversation.propagate(panel.direction, panel.span.slices)

    def _check(self, annotation: Annotation) -> None:
        self.dock.conversation.check(self.dock.propagation.span.slices)

    def _lock(self, annotation: Annotation) -> str:
        locked = annotation.toggle_lock()
        name = annotation.objects[annotation.current].name
        word = "locked" if locked else "open to changes again"
        return f"{name} is {word} on slice {annotation.shown_slice}."

    def _accept(self, annotation: Annotation) -> str:
        place = (annotation.current, annotation.shown_slice)
        if place not in annotation.prompts().locks:
            annotation.toggle_lock()
        return self._doubtful(annotation)

    def _doubtful(self, annotation: Annotation) -> str:
        queue = annotation.doubtful(self.dock.review.threshold)
        if not queue:
            return "No slice is doubtful."
        here = (annotation.current, annotation.shown_slice)
        object_id, index = next_doubtful(queue, here) or queue[0]
        self.dock.go_to(index, object_id)
        doubt = annotation.engine.review.doubt(object_id, index)
        name = annotation.objects[object_id].name
        return f"{name}, slice {index}: {1 - doubt:.0%} sure; {len(queue)} to look at."
