"""The annotation of one image in a viewer: prompts drawn, labels painted, kept.

Needs no Qt: it works on a `napari.components.ViewerModel` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.annotation.adopted import (
    found_prompts,
    is_untouched,
    masks_over,
    points_as_clicks,
    with_labels,
    with_objects,
)
from napari_octa_sam2.annotation.exchange import Exchange
from napari_octa_sam2.annotation.marks import Marks, marks_of, with_absence, with_end
from napari_octa_sam2.annotation.painting import guarded, painted_prompts
from napari_octa_sam2.annotation.scene import Scene
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.layers import (
    as_slices,
    image_slices,
    layer_geometry,
)
from napari_octa_sam2.project import locks, objects
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.prompt_layers import PromptLayers
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.review import Place
from napari_octa_sam2.volume.writers import write_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points

    from napari_octa_sam2.engine.segment import Confidence
    from napari_octa_sam2.project.store import Copies, Project


class Annotation:
    """What a user makes of one image layer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Two- or three-dimensional and grey; it is never changed.
    on_edit : callable
        Called after a change; what the engine must know is in `engine`.
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
        self.image = image
        self.data = image_slices(image)
        self.geometry = layer_geometry(image)
        depth, slow, fast = self.data.shape
        self.project = project
        self.document = project.document if project else Document((depth, slow, fast))
        self.current = 1
        self._on_edit, self._warn = on_edit, warn
        self.scene = Scene(
            viewer, image, self.document, self._drawn_changed, self._painted
        )
        note = project.note if project else lambda event: None
        self.engine = Exchange(self.document, note, self.scene.show_labels)
        if project is not None:
            self._remember(project.events)
        self.engine.compare(shown=False)
        self._show_prompts()

    # what is there ---------------------------------------------------------

    @property
    def points(self) -> Points:
        """The layer of clicks."""
        return self.scene.drawn.points

    @property
    def drawn(self) -> PromptLayers:
        """The layers of prompts."""
        return self.scene.drawn

    @property
    def labels(self) -> Labels:
        """The layer of masks."""
        return self.scene.labels

    @property
    def objects(self) -> dict[int, PromptObject]:
        """The objects by id, in order."""
        return {o.id: o for o in self.prompts().objects}

    @property
    def shown_slice(self) -> int:
        """Index of the slice on screen."""
        return self.scene.shown_slice

    def prompts(self) -> PromptSet:
        """Return objects, prompts and locks."""
        return self.document.prompts

    def mask(self, object_id: int, index: int) -> np.ndarray:
        """Return the mask of an object on a slice, ``(slow, fast)``."""
        found: np.ndarray = self.document.labels(index) == object_id
        return found

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
        return self.engine.review.queue(prompts.locks, free, 1 - sure)

    def close(self) -> None:
        """Stop listening; the layers stay, and others may work on the project."""
        self.scene.close()
        if self.project is not None:
            self.project.close()

    # objects ---------------------------------------------------------------

    def select_object(self, object_id: int) -> None:
        """Make an object the one that new prompts belong to."""
        self.current = object_id
        self.scene.select(object_id)

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

    def adopt_found(
        self,
        labels: np.ndarray,
        names: Mapping[int, str],
        classes: Mapping[int, str],
        confidence: Iterable[Confidence] = (),
        *,
        only_blank: bool = False,
    ) -> int:
        """Make what was found without a prompt objects, on all its slices.

        Pixels that an object has already stay with that, and so what was drawn or
        locked is as it was. Return how many objects there are.

        Parameters
        ----------
        labels : numpy.ndarray of int
            Ids of what was found, shape ``(depth, slow, fast)``.
        names, classes : mapping of int to str
            By id.
        confidence : iterable of Confidence
            Of the slices and objects that were looked for.
        only_blank : bool
            Whether slices that hold labels already are left as they are.

        Raises
        ------
        PromptError
            If the labels do not fit the image, or nothing is left of them.
        """
        given = found_prompts(self.document, labels, confidence, only_blank=only_blank)
        found = [
            PromptObject(i, names.get(i, ""), classes.get(i, "other"))
            for i in sorted({p.object for p in given})
        ]
        made = with_objects(self.document, found, given)
        masks: dict[int, list[Prompt]] = {}
        for prompt in made.prompts[len(self.prompts().prompts) :]:
            if prompt.mask is not None:
                masks.setdefault(prompt.slice, []).append(prompt)
        with self._changing():
            self.document.set_prompts(made)
            for index, shown in masks.items():
                content = masks_over(self.document.labels(index), shown)
                self.document.write(index, content)
        self.select_object(made.objects[-len(found)].id)
        return len(found)

    def adopt_prompts(self, given: PromptSet) -> int:
        """Add the prompts of another set, as new objects; return how many those are.

        Raises
        ------
        PromptError
            If there is none, or as `set_prompts`.
        """
        made = with_objects(self.document, given.objects, given.prompts)
        count = len({p.object for p in given.prompts})
        self.set_prompts(made)
        self.select_object(made.objects[-count].id)
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

    def toggle_lock(self) -> bool:
        """Lock the slice shown for the current object, or unlock it.

        Its mask is never overwritten then, and the other slices follow from it.
        Return whether it is locked now.
        """
        place = self.current, self.shown_slice
        prompts = self.prompts()
        locking = place not in prompts.locks
        if locking:
            prompts = locks.lock(prompts, *place, self.mask(*place))
        else:
            prompts = locks.unlock(prompts, *place)
        with self._changing():
            self.document.set_prompts(prompts)
        return locking

    # history ---------------------------------------------------------------

    def undo(self) -> bool:
        """Take the last step back; return whether there was one."""
        return self._travelled(self.document.undo)

    def redo(self) -> bool:
        """Do the step undone last again; return whether there was one."""
        return self._travelled(self.document.redo)

    # the work --------------------------------------------------------------

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

    def _painted(self) -> None:
        """Make what the user painted prompts, slice by slice."""
        changed = []
        for index in self.scene.painted_slices:
            content = self.scene.painted(index)
            before = self.document.labels(index)
            if np.array_equal(before, content):
                continue
            labels, refused = guarded(self.prompts(), index, before, content)
            if refused:
                content[...] = labels
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
        before = self.objects
        number = self.document.begin()
        try:
            yield
        except BaseException:
            self.document.abandon()
            raise
        changed = self.document.slices_of(number)
        self._forget(before)
        self.engine.compare(shown=shown)
        if redraw:
            self._show_prompts()
        self.scene.show_labels(changed, now=True)
        self._on_edit()

    def _travelled(self, go: Callable[[], list[int] | None]) -> bool:
        before, slices = self.objects, go()
        if slices is None:
            return False
        self._forget(before)
        self.engine.compare(shown=False)
        self._show_prompts()
        self.scene.show_labels(slices, now=True)
        self._on_edit()
        return True

    def _forget(self, before: Collection[int]) -> None:
        kept = set() if is_untouched(self.document) else set(self.objects)
        for object_id in set(before) - kept:
            self.engine.forget(object_id)

    def _show_prompts(self) -> None:
        self.scene.show_prompts()
        if self.current not in self.objects:
            self.select_object(min(self.objects))

    def _remember(self, events: Collection[Mapping[str, Any]]) -> None:
        """Take what the engine had said before."""
        self.engine.remember(events)
        for event in events:
            if event["do"] == "open":
                self.labels.metadata["record"] = event["record"]
