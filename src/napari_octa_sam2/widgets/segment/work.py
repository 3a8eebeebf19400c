"""Whose annotation is whose, and where the work is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_octa_sam2.annotation import Annotation
from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.layers import image_slices, layer_geometry
from napari_octa_sam2.project import store

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


class Work:
    """The annotations of a dock, one an image, each with its project.

    Parameters
    ----------
    viewer : napari.Viewer
    edited : callable
        Called after an annotation changed.
    warn : callable
        Called with a sentence for the user.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        edited: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._viewer, self._edited, self._warn = viewer, edited, warn
        self._annotations: dict[Image, Annotation] = {}

    def __contains__(self, image: Image) -> bool:
        """Whether an image has an annotation."""
        return image in self._annotations

    def of(self, image: Image) -> Annotation:
        """Return the annotation of an image, as it was left or new.

        Raises
        ------
        VolumeError
            If the image cannot be segmented.
        """
        if image not in self._annotations:
            self._begin(image, self._project(image))
        return self._annotations[image]

    def earlier(self, image: Image) -> tuple[Path, datetime] | None:
        """Return the last project of the volume of an image, and when it changed."""
        try:
            found = store.find_projects(image_slices(image))
        except OctaError:
            return None
        if not found:
            return None
        changed = (found[0] / store.JOURNAL).stat().st_mtime
        return found[0], datetime.fromtimestamp(changed)

    def resume(self, image: Image, path: Path) -> Annotation:
        """Go on with a project of an image; what was begun since is closed.

        Raises
        ------
        ReadError
            If it is damaged, or open elsewhere; nothing is closed then.
        """
        project = store.resume(path, self._warn)
        begun = self._annotations.get(image)
        if begun is not None:
            self.close(begun)
            for layer in begun.scene.layers:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
        return self._begin(image, project)

    def close(self, annotation: Annotation) -> None:
        """Write an annotation out and let go of it; its layers stay."""
        try:
            if annotation.project is not None and annotation.document.step:
                annotation.copies().write()
        except OctaError as error:
            self._warn(str(error))
        annotation.close()
        del self._annotations[annotation.image]

    def close_all(self) -> None:
        """Close every annotation."""
        for annotation in list(self._annotations.values()):
            self.close(annotation)

    def _begin(self, image: Image, project: store.Project | None) -> Annotation:
        made = Annotation(self._viewer, image, self._edited, project, self._warn)
        self._annotations[image] = made
        return made

    def _project(self, image: Image) -> store.Project | None:
        """Begin to save the work on an image; without a place for it, say so."""
        data = image_slices(image)
        source = image.metadata.get("source") or image.source.path
        geometry = layer_geometry(image)
        about = store.About.of(data, image.name, source and str(source), geometry)
        try:
            return store.begin(about, notify=self._warn)
        except OctaError as error:
            self._warn(f"Your work will not be saved as you go: {error}")
            return None
