"""The annotation of one image in a viewer: prompts drawn, labels painted, kept.

Needs no Qt: it works on a `napari.components.ViewerModel` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.annotation.adopted import points_as_clicks, with_labels
from napari_octa_sam2.annotation.edits import Edit, Edits
from napari_octa_sam2.annotation.holdings import Holdings
from napari_octa_sam2.annotation.marks import Marks, marks_of, with_absence, with_end
from napari_octa_sam2.annotation.painting import guarded, painted_prompts
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.layers import (
    as_slices,
    grid_arguments,
    image_slices,
    layer_geometry,
    object_colormap,
    object_colours,
)
from napari_octa_sam2.project import locks, objects
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.prompt_layers import PromptLayers
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.review import Place, ReviewTable
from napari_octa_sam2.volume.writers import write_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points

    from napari_octa_sam2.project.store import Copies, Project


class Annotation:
    """What a user makes of one image layer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Two- or three-dimensional and grey; it is never changed.
    on_edit : callable
        Called after a change; take what the engine must know with `take_edits`.
    project : Project, optional
        Where every change is written down; its document is gone on with.
    warn : callable
        Called with a sentence when the user may not do something.

    Raises
    ------
    VolumeError
        If the image cannot be segmented.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        on_edit: Callable[[], None] = lambda: None,
        project: Project | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.viewer, self.image = viewer, image
        self.data = image_slices(image)
        self.geometry = layer_geometry(image)
        depth, slow, fast = self.data.shape
        self.project = project
        self.document = project.document if project else Document((depth, slow, fast))
        self.review = ReviewTable()
        self.hidden: set[int] = set()
        self.current = 1
        self._edits = Edits()
        self._warn = warn
        self._held = Holdings()
        self.labels: Labels = viewer.add_labels(
            self.document.volume().reshape(image.data.shape),
            name=f"{image.name} segmentation",
            **grid_arguments(image),
        )
        self.labels.events.paint.connect(self._painted)
        self.drawn = PromptLayers(viewer, image, self._drawn_changed)
        self._on_edit = on_edit
        for index in self.document.labelled_slices():
            self._held.note(index, self.document.labels(index))
        if project is not None:
            self._remember(project.events)
        self._edits.note(self.prompts(), self.document.step, shown=False)
        self._show_prompts()

    # what is there ---------------------------------------------------------

    @property
    def points(self) -> Points:
        """The layer of clicks."""
        return self.drawn.points

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the annotation has added, from bottom to top."""
        return self.labels, self.drawn.shapes, self.drawn.points

    @property
    def objects(self) -> dict[int, PromptObject]:
        """The objects by id, in order."""
        return {o.id: o for o in self.prompts().objects}

    @property
    def shown_slice(self) -> int:
        """Index of the slice on screen."""
        if self.image.ndim == 2:
            return 0
        position = self.image.world_to_data(self.viewer.dims.point[-self.image.ndim :])
        return int(np.clip(round(float(position[0])), 0, len(self.data) - 1))

    def prompts(self) -> PromptSet:
        """Return objects, prompts and locks."""
        return self.document.prompts

    def mask(self, object_id: int, index: int) -> np.ndarray:
        """Return the mask of an object on a slice, ``(slow, fast)``."""
        found: np.ndarray = as_slices(self.labels.data)[index] == object_id
        return found

    def colour(self, object_id: int) -> tuple[float, ...]:
        """Return the colour of an object, RGBA from 0 to 1, whether shown or not."""
        return tuple(map(float, object_colormap().map(object_id)))

    def extent(self, object_id: int) -> tuple[int, int] | None:
        """Return the first and last slice that hold an object, if any does."""
        return self._held.extent(object_id)

    def marks(self, object_id: int) -> Marks:
        """Return where an object has prompts, is locked, and is said to be absent."""
        return marks_of(self.prompts(), object_id)

    def doubtful(self, sure: float) -> list[Place]:
        """Return the objects and slices to look at, the most doubtful first.

        Parameters
        ----------
        sure : float
            Confidence from which on a slice need not be looked at.
        """
        prompts = self.prompts()
        free = [o.id for o in prompts.objects if not o.locked]
        return self.review.queue(prompts.locks, free, 1 - sure)

    def put_layers_back(self) -> list[Layer]:
        """Add the layers that were removed from the viewer again; return them."""
        gone = [layer for layer in self.layers if layer not in self.viewer.layers]
        for layer in gone:
            self.viewer.layers.append(layer)
        return gone

    def close(self) -> None:
        """Stop listening; the layers stay, and others may work on the project."""
        self.labels.events.paint.disconnect(self._painted)
        self.drawn.close()
        if self.project is not None:
            self.project.close()

    # objects ---------------------------------------------------------------

    def select_object(self, object_id: int) -> None:
        """Make an object the one that new prompts belong to."""
        self.current = object_id
        self.labels.selected_label = object_id
        self.drawn.set_object(object_id)

    def add_object(self) -> PromptObject:
        """Add an object of the current one's class, select it and return it."""
        prompts = self.prompts()
        new = PromptObject(objects.new_id(prompts), cls=self.objects[self.current].cls)
        with self._changing():
            self.document.set_prompts(replace(prompts, objects=(*prompts.objects, new)))
        self.select_object(new.id)
        return new

    def change_object(self, object_id: int, **fields: Any) -> None:
        """Give an object another name, class (``cls``) or lock (``locked``)."""
        prompts = self.prompts()
        changed = tuple(
            replace(o, **fields) if o.id == object_id else o for o in prompts.objects
        )
        if changed != prompts.objects:
            with self._changing():
                self.document.set_prompts(replace(prompts, objects=changed))

    def remove_object(self, object_id: int) -> None:
        """Remove an object, its prompts and its pixels."""
        with self._changing():
            objects.remove(self.document, object_id)
            if not self.prompts().objects:
                self.document.set_prompts(PromptSet((PromptObject(1),)))

    def merge_objects(self, ids: Collection[int]) -> None:
        """Make several objects one, which keeps the smallest id.

        Raises
        ------
        PromptError
            If there are fewer than two.
        """
        if len(ids) < 2:
            raise PromptError("expected two objects to merge; select them in the table")
        with self._changing():
            objects.merge(self.document, min(ids), set(ids) - {min(ids)})

    def split_object(self, object_id: int) -> list[PromptObject]:
        """Make the pieces of an object objects of their own; return the new ones.

        Raises
        ------
        PromptError
            If it is in one piece, or in too many.
        """
        made: list[PromptObject] = []
        with self._changing():
            made += objects.split(self.document, object_id)
        return made

    def duplicate_object(self, object_id: int) -> PromptObject:
        """Add an object with the same prompts, select it and return it."""
        with self._changing():
            made = objects.duplicate(self.document, object_id)
        self.select_object(made.id)
        return made

    def set_visible(self, object_id: int, visible: bool) -> None:
        """Show or hide the pixels of an object."""
        if visible:
            self.hidden.discard(object_id)
        else:
            self.hidden.add(object_id)
        self._colour()

    # prompts ---------------------------------------------------------------

    def set_prompts(self, prompts: PromptSet) -> None:
        """Make `prompts` the present ones.

        Raises
        ------
        PromptError
            If a prompt lies outside the image, or changes a locked slice.
        """
        self._check(prompts)
        with self._changing(shown=True):
            self.document.set_prompts(prompts)

    def load_prompts(self, path: str | Path) -> None:
        """Make the prompts of a file the present ones.

        Raises
        ------
        PromptError
            If the file is malformed or does not fit the image; nothing changes then.
        """
        read = PromptSet.read(path)
        self.set_prompts(read if read.objects else PromptSet((PromptObject(1),)))

    def add_prompts(self, added: Collection[Prompt]) -> None:
        """Add prompts after the present ones.

        Raises
        ------
        PromptError
            As `set_prompts`.
        """
        prompts = self.prompts()
        self.set_prompts(replace(prompts, prompts=(*prompts.prompts, *added)))

    def adopt_points(self, layer: Points) -> int:
        """Add the points of another layer to the current object; return how many.

        Raises
        ------
        PromptError
            As `adopted.points_as_clicks` and `set_prompts`.
        """
        found = points_as_clicks(layer, self.image, self.current)
        self.add_prompts(found)
        return len(found)

    def adopt_labels(self, layer: Labels, *, centre_lines: bool = False) -> int:
        """Make the labels of another layer objects, on the slice shown.

        Return how many there are. `centre_lines` and errors as `adopted.with_labels`.
        """
        prompts, count = with_labels(
            self.prompts(),
            layer,
            self.image,
            self.shown_slice,
            centre_lines=centre_lines,
        )
        self.set_prompts(prompts)
        return count

    def ask_for_class(self) -> str:
        """Ask for all of the current object's class on the slice shown; return it.

        Raises
        ------
        PromptError
            If the object's class is "other".
        """
        cls = self.objects[self.current].cls
        self.add_prompts([Prompt(self.current, self.shown_slice, whole=cls)])
        return cls

    def mark_absent(self) -> None:
        """Say that the current object is not on the slice shown, or take that back.

        Raises
        ------
        PromptError
            If the slice is locked.
        """
        self.set_prompts(with_absence(self.prompts(), self.current, self.shown_slice))

    def mark_first(self) -> None:
        """Say that the current object begins on the slice shown."""
        self._mark_end(self.shown_slice - 1)

    def mark_last(self) -> None:
        """Say that the current object ends on the slice shown."""
        self._mark_end(self.shown_slice + 1)

    def suppress(self, on: bool) -> None:
        """Make the clicks on other objects negative ones of each object, or not."""
        if on != self.prompts().suppress:
            self.set_prompts(replace(self.prompts(), suppress=on))

    # locks -----------------------------------------------------------------

    def toggle_lock(self, ids: Collection[int] | None = None) -> bool:
        """Lock the slice shown, by default of the current object, or unlock it.

        Its mask is never overwritten then, and the other slices follow from it.
        Return whether it is locked now.
        """
        index = self.shown_slice
        ids = [self.current] if ids is None else ids
        prompts = self.prompts()
        locking = any((o, index) not in prompts.locks for o in ids)
        for object_id in ids:
            if locking:
                mask = self.mask(object_id, index)
                prompts = locks.lock(prompts, object_id, index, mask)
            else:
                prompts = locks.unlock(prompts, object_id, index)
        with self._changing():
            self.document.set_prompts(prompts)
        return locking

    # history ---------------------------------------------------------------

    def undo(self) -> bool:
        """Take the last step back; return whether there was one."""
        return self._travelled(self.document.undo())

    def redo(self) -> bool:
        """Do the step undone last again; return whether there was one."""
        return self._travelled(self.document.redo())

    # the engine ------------------------------------------------------------

    def take_edits(self) -> list[Edit]:
        """Return what the engine has to be told since the last call."""
        return self._edits.take()

    def resend(self, *, shown: bool) -> None:
        """Have `take_edits` return every prompt again, for a new session.

        Parameters
        ----------
        shown : bool
            Whether its answers replace the masks that are there.
        """
        self._edits.forget()
        self._edits.note(self.prompts(), self.document.step, shown=shown)

    def begin_step(self) -> int:
        """Begin a step of the history, for what the engine is about to do."""
        return self.document.begin()

    def answer(self, result: SliceResult, edit: Edit) -> None:
        """Take the engine's answer to an edit."""
        shown = edit.shown and self._edits.is_latest(edit)
        self.note(
            {
                "do": "answer",
                "object": edit.object,
                "slice": edit.slice,
                "prompts": [p.to_json() for p in edit.prompts],
                "step": edit.step,
                "shown": shown,
                "confidence": _plain(result.confidence),
            }
        )
        if shown:
            self._take(result, edit.step)

    def visit(self, result: SliceResult, step: int) -> None:
        """Take a slice of a propagation."""
        found = {"confidence": _plain(result.confidence)}
        self.note({"do": "visit", "slice": result.slice, "step": step, **found})
        self._take(result, step)

    def checked(self, index: int, agreement: Mapping[int, float]) -> None:
        """Take how well both directions agree on a slice."""
        found = _plain(agreement)
        self.note({"do": "checked", "slice": index, "agreement": found})
        self.review.note_agreement(agreement, index)

    def note(self, event: Mapping[str, Any]) -> None:
        """Write down what the engine did."""
        if self.project is not None:
            self.project.note(event)

    def copies(self) -> Copies:
        """Return labels and prompts, to be written beside the journal of the project.

        Raises
        ------
        ValueError
            If there is no project.
        """
        if self.project is None:
            raise ValueError("expected an annotation with a project, found one without")
        return self.project.copies(self.labels.metadata.get("record", {}))

    def write_labels(self, path: str | Path) -> None:
        """Write the labels, with the prompts and what made them, in a file.

        Raises
        ------
        WriteError
            As `napari_octa_sam2.volume.writers.write_labels`.
        """
        known = self.labels.metadata
        write_labels(
            path,
            as_slices(self.labels.data),
            self.geometry,
            names=known["names"],
            classes=known["classes"],
            metadata={**known.get("record", {}), "prompts": self.prompts().to_json()},
        )

    # inside ----------------------------------------------------------------

    def _take(self, result: SliceResult, step: int) -> None:
        index = result.slice
        content = self.document.labels(index)
        safe = locks.protected(self.prompts(), index)
        content = result.written(content, safe)
        self.document.write(index, content, step, by_engine=True)
        self.review.note(result.confidence, index)
        self._show_labels([index])

    def _drawn_changed(self) -> None:
        """Take over what the user drew; draw it as it was where that cannot be."""
        prompts = replace(self.prompts(), prompts=self.drawn.read())
        if prompts == self.prompts():
            return
        try:
            self._check(prompts)
        except PromptError as error:
            self.drawn.draw(self.prompts().prompts)
            self._warn(str(error))
            return
        with self._changing(shown=True, redraw=False):
            self.document.set_prompts(prompts)

    def _painted(self, event: Any) -> None:
        """Make what the user painted prompts, slice by slice."""
        data = as_slices(self.labels.data)
        flat = self.labels.n_edit_dimensions < 3
        candidates = [self.shown_slice] if flat else range(len(data))
        changed = []
        for index in candidates:
            before = self.document.labels(index)
            if np.array_equal(before, data[index]):
                continue
            labels, refused = guarded(self.prompts(), index, before, data[index])
            if refused:
                data[index] = labels
                names = ", ".join(self.objects[i].name for i in sorted(refused))
                self._warn(
                    f"{names}: locked on slice {index}; unlock it to paint there."
                )
            if not np.array_equal(before, labels):
                changed.append((index, before, labels))
        if changed:
            with self._changing():
                for index, before, labels in changed:
                    self.document.set_prompts(
                        painted_prompts(self.prompts(), index, before, labels)
                    )
                    self.document.write(index, labels)
        self.labels.refresh()

    def _mark_end(self, beyond: int) -> None:
        prompts = with_end(self.prompts(), self.current, beyond, len(self.data))
        if prompts is not self.prompts():
            self.set_prompts(prompts)

    def _check(self, prompts: PromptSet) -> None:
        """Raise `PromptError` where prompts lie outside, or change a locked slice."""
        for prompt in prompts.prompts:
            prompt.check_inside(self.document.shape)
        old, new = self.prompts().by_slice(), prompts.by_slice()
        for object_id, index in {*old, *new}:
            if old.get((object_id, index)) != new.get((object_id, index)) and (
                locks.is_locked(self.prompts(), object_id, index)
            ):
                known = self.objects.get(object_id)
                name = known.name if known else f"object {object_id}"
                raise PromptError(
                    f"{name} is locked on slice {index}; unlock it to change it there"
                )

    @contextmanager
    def _changing(self, *, shown: bool = False, redraw: bool = True) -> Iterator[None]:
        """Begin a step; show and tell what was changed in it.

        Where it fails, what was changed already is taken back.
        """
        number = self.document.begin()
        try:
            yield
        except BaseException:
            self.document.undo()
            raise
        changed = self.document.slices_of(number)
        self._edits.note(self.prompts(), number, shown=shown)
        if redraw:
            self._show_prompts()
        self._show_labels(changed)
        self._on_edit()

    def _travelled(self, slices: list[int] | None) -> bool:
        if slices is None:
            return False
        self._edits.note(self.prompts(), self.document.step, shown=False)
        self._show_prompts()
        self._show_labels(slices)
        self._on_edit()
        return True

    def _show_prompts(self) -> None:
        prompts = self.prompts()
        self.labels.metadata["names"] = {o.id: o.name for o in prompts.objects}
        self.labels.metadata["classes"] = {o.id: o.cls for o in prompts.objects}
        self.drawn.draw(prompts.prompts)
        if self.current not in self.objects:
            self.select_object(min(self.objects))
        self._colour()

    def _show_labels(self, slices: Collection[int]) -> None:
        """Copy labels of the document into the layer; the caller refreshes."""
        for index in slices:
            content = self.document.labels(index)
            if content.dtype.itemsize > self.labels.data.dtype.itemsize:
                self.labels.data = self.labels.data.astype(content.dtype)
            as_slices(self.labels.data)[index] = content
            self._held.note(index, content)

    def _colour(self) -> None:
        self.labels.colormap = object_colours(self.hidden)

    def _remember(self, events: Collection[Mapping[str, Any]]) -> None:
        """Take what the engine had said before."""
        for event in events:
            if "confidence" in event:
                found = {int(o): c for o, c in event["confidence"].items()}
                self.review.note(found, event["slice"])
            elif event["do"] == "checked":
                found = {int(o): a for o, a in event["agreement"].items()}
                self.review.note_agreement(found, event["slice"])
            elif event["do"] == "open":
                self.labels.metadata["record"] = event["record"]


def _plain(confidence: Mapping[int, float]) -> dict[str, float]:
    return {str(o): round(c, 4) for o, c in confidence.items()}
