"""The Projections dock: en-face slabs, flattening, and from a pixel to its depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.layers import (
    grid_arguments,
    image_slices,
    layer_geometry,
    volume_layers,
)
from napari_octa_sam2.volume import OctaVolume
from napari_octa_sam2.volume.flatten import Flattening, flatten, unflatten
from napari_octa_sam2.volume.flow import depths_of_flow
from napari_octa_sam2.volume.slabs import Slab, slabs_from_surfaces, three_slabs
from napari_octa_sam2.volume.surfaces import DepthLimit, resolve_limits
from napari_octa_sam2.widgets.controls import Dock
from napari_octa_sam2.widgets.layer_chooser import LayerChooser
from napari_octa_sam2.widgets.projections import panels
from napari_octa_sam2.widgets.task import TaskRunner

if TYPE_CHECKING:
    import napari

CLICK_PIXELS = 4  # of the screen; a longer way is a drag


class ProjectionsWidget(Dock):
    """Project slabs of an image, flatten it, and find the depth of what is clicked.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    picked : Signal
        ``(image layer, depths, row, column)`` of a click on a projection, the depth
        of the strongest flow first.
    """

    picked = Signal(object, list, int, int)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.runner = TaskRunner(self.say, self._set_running)
        self._sources: dict[Image, tuple[Image, tuple[Slab, ...]]] = {}
        self._build()
        self.picked.connect(self._prompt)
        self._image_changed()
        self._offer_layers()
        events = napari_viewer.layers.events
        self._watched = (events.inserted, events.removed, events.renamed)
        for event in self._watched:
            event.connect(self._offer_layers)
        napari_viewer.mouse_drag_callbacks.append(self._clicked)

    def _build(self) -> None:
        self.image = LayerChooser()
        self.projection = panels.ProjectionPanel(self.add_projection)
        self.three = panels.ThreeSlabsPanel(self.add_three_slabs)
        self.flat = panels.FlattenPanel(
            self.add_surface, self.add_flattened, self.restore_labels
        )
        self.follow = QCheckBox("Click goes to depth")
        self.follow.setToolTip("A click on a projection finds the depth of the flow")
        content = QWidget()
        column = QVBoxLayout(content)
        form = QFormLayout()
        form.addRow("Image", self.image)
        column.addLayout(form)
        for part in (self.projection, self.three, self.flat, self.follow, self.status):
            column.addWidget(part)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setMinimumWidth(300)
        self.image.layer_changed.connect(self._image_changed)
        self.follow.toggled.connect(self._following)

    # actions of the user ---------------------------------------------------

    def add_projection(self) -> None:
        """Add the projection of the chosen slab as an image."""
        image, panel = self._chosen(), self.projection
        if image is None:
            return
        limits = (panel.first.limit, panel.last.limit)
        name, how = f"{image.name} {panel.name}", panel.how.currentText()
        record = {
            "source": image.name,
            "first": panel.first.text,
            "last": panel.last.text,
            "how": how,
        }

        def work(data: np.ndarray) -> tuple[Slab, np.ndarray]:
            slab = Slab(name, *resolve_limits(data, limits), how)
            return slab, slab.project(data)

        def show(result: tuple[Slab, np.ndarray]) -> None:
            slab, pixels = result
            metadata = {"projection": record}
            layer = self.viewer.add_image(
                pixels, name=name, metadata=metadata, **_plane_arguments(image)
            )
            self._sources[layer] = (image, (slab,))

        self._compute("Projecting", image, work, show)

    def add_three_slabs(self) -> None:
        """Add FULL, ILM_OPL and OPL_BM as the slices of one image."""
        image, choosers = self._chosen(), self.three.limits
        if image is None:
            return
        limits = [chooser.limit for chooser in choosers.values()]
        record = {"source": image.name}
        record |= {name: chooser.text for name, chooser in choosers.items()}
        geometry, name = layer_geometry(image), image.name

        def work(data: np.ndarray) -> tuple[tuple[Slab, ...], OctaVolume]:
            depths = dict(zip(choosers, resolve_limits(data, limits), strict=True))
            volume = OctaVolume(data, geometry, name=name)
            return slabs_from_surfaces(depths, len(data)), three_slabs(volume, depths)

        def show(result: tuple[tuple[Slab, ...], OctaVolume]) -> None:
            slabs, volume = result
            ((data, arguments, _),) = volume_layers(volume)
            arguments["metadata"]["slabs"] = record
            layer = self.viewer.add_image(data, **arguments | grid_arguments(image))
            self._sources[layer] = (image, slabs)

        self._compute("Projecting three slabs", image, work, show)

    def add_surface(self) -> None:
        """Add the chosen surface as an image of depths, to be checked or corrected."""
        image, chosen = self._chosen(), self.flat.surface
        if image is None:
            return
        name, record = f"{image.name} {chosen.text}", {"source": image.name}

        def show(surface: np.ndarray) -> None:
            self.viewer.add_image(
                surface,
                name=name,
                colormap="viridis",
                metadata={"surface": record},
                **_plane_arguments(image),
            )

        work = partial(_surface, chosen.limit)
        self._compute("Finding the surface", image, work, show)

    def add_flattened(self) -> None:
        """Add the image with its columns shifted so that the surface is flat."""
        image, limit = self._chosen(), self.flat.surface.limit
        if image is None:
            return

        def work(data: np.ndarray) -> tuple[np.ndarray, Flattening]:
            return flatten(data, _surface(limit, data))

        def show(result: tuple[np.ndarray, Flattening]) -> None:
            data, flattening = result
            self.flat.flattened.layer = self.viewer.add_image(
                data,
                name=f"{image.name} flattened",
                contrast_limits=image.contrast_limits,
                metadata={"source": image.name, "flattening": flattening.to_json()},
                **grid_arguments(image),
            )

        self._compute("Flattening", image, work, show)

    def restore_labels(self) -> None:
        """Add labels drawn on a flattened image as labels of the scan."""
        labels, image = self.flat.labels.layer, self.flat.flattened.layer
        if labels is None or image is None:
            self.warn("Choose labels, and the flattened image they were drawn on.")
            return
        record, drawn = image.metadata["flattening"], np.asarray(labels.data)

        def work() -> np.ndarray:
            return unflatten(drawn, Flattening.from_json(record))

        def show(data: np.ndarray) -> None:
            self.viewer.add_labels(
                data,
                name=f"{labels.name} on the scan",
                colormap=labels.colormap,
                metadata=dict(labels.metadata),
                **grid_arguments(image),
            )

        self.runner.start("Moving labels back", work, show)

    # a click on a projection -----------------------------------------------

    def _clicked(self, viewer: napari.Viewer, event: Any) -> Iterator[None]:
        if not self.follow.isChecked() or event.button != 1 or event.modifiers:
            return
        found = self._pixel_under(event.position)
        if found is None:
            return
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.hypot(*(np.array(event.pos) - start)) <= CLICK_PIXELS:
            self._pick(*found)

    def _pixel_under(
        self, position: tuple[float, ...]
    ) -> tuple[Image, Slab, int, int] | None:
        """Return image, slab and pixel of the projection that is seen there, if any."""
        if self.viewer.dims.ndisplay != 2:
            return None
        for layer in reversed(self.viewer.layers):
            if not (isinstance(layer, Image) and layer.visible):
                continue
            at = np.floor(np.array(layer.world_to_data(position)) + 0.5).astype(int)
            if ((at < 0) | (at >= layer.data.shape[: layer.ndim])).any():
                continue
            if layer not in self._sources:
                return None
            image, slabs = self._sources[layer]
            slab = slabs[at[0] if layer.ndim == 3 else 0]
            return image, slab, int(at[-2]), int(at[-1])
        return None

    def _pick(self, image: Image, slab: Slab, row: int, col: int) -> None:
        active = self.viewer.layers.selection.active
        if active is not None and active.mode != "pan_zoom":
            self.say(f"{active.name} takes the clicks: select the projection first.")
            return
        if image not in self.viewer.layers:
            self.warn(f"{image.name} was removed: open it again to go to a depth.")
            return

        def work(data: np.ndarray) -> list[int]:
            return depths_of_flow(data, row, col, slab.depths_at(row, col))

        def show(depths: list[int]) -> None:
            slices = ", ".join(map(str, depths))
            self.say(f"Flow at row {row}, column {col}: slice {slices}.")
            self.picked.emit(image, depths, row, col)

        self._compute("Finding the depth", image, work, show)

    def _following(self, on: bool) -> None:
        """Select the newest projection, so that no drawing tool takes the clicks."""
        if not on:
            return
        if self._sources:
            self.viewer.layers.selection.active = list(self._sources)[-1]
        self.say("Click on a projection of this dock.")

    def _prompt(self, image: Image, depths: list[int], row: int, col: int) -> None:
        """Have the Segment dock, where it is open, click at these depths."""
        from napari_octa_sam2.widgets.segment.dock import SegmentWidget

        docks = self.viewer.window.dock_widgets.values()
        segment = [dock for dock in docks if isinstance(dock, SegmentWidget)]
        if segment:
            segment[0].click_at_depths(image, depths, row, col)
        else:
            found = self.status.text()
            self.say(f"{found} Open the Segment dock, to make such clicks prompts.")

    # small things ----------------------------------------------------------

    def _chosen(self) -> Image | None:
        image = self.image.layer
        if image is None:
            self.warn("Open an OCTA volume first, or File > Open Sample > OCTA SAM 2.")
        return image

    def _compute(
        self,
        doing: str,
        image: Image,
        work: Callable[[np.ndarray], Any],
        show: Callable[[Any], None],
    ) -> None:
        """Run `work` on the data of an image, then `show` what came of it."""
        try:
            data = image_slices(image)
        except OctaError as error:
            self.warn(str(error))
            return
        self.runner.start(doing, partial(work, data), show)

    def _offer_layers(self, event: object = None) -> None:
        layers = list(self.viewer.layers)
        self._sources = {k: v for k, v in self._sources.items() if k in layers}
        self.image.offer(panels.volumes(layers))
        for limit in self._limits():
            limit.surface.offer(panels.surfaces(layers))
        self.flat.labels.offer(panels.labels(layers))
        self.flat.flattened.offer(panels.flattened(layers))

    def _image_changed(self) -> None:
        image = self.image.layer
        if image is None:
            self.say("Open an OCTA volume, or File > Open Sample > OCTA SAM 2.")
            return
        last = image.data.shape[-3] - 1
        defaults = (0, last, 0, last // 2, last, 0)
        for limit, chosen in zip(self._limits(), defaults, strict=True):
            limit.set_depth(last + 1, chosen)
        self.say("Choose depths or surfaces, then add a projection.")

    def _limits(self) -> tuple[panels.LimitChooser, ...]:
        pair = (self.projection.first, self.projection.last)
        return *pair, *self.three.limits.values(), self.flat.surface

    def _set_running(self, running: bool) -> None:
        for button in (self.projection.button, self.three.button, *self.flat.buttons):
            button.setEnabled(not running)

    def stop(self) -> None:
        """Stop listening; layers stay, and what is being computed is dropped."""
        self.runner.close()
        for event in self._watched:
            event.disconnect(self._offer_layers)
        self.viewer.mouse_drag_callbacks.remove(self._clicked)


def _surface(limit: DepthLimit, data: np.ndarray) -> np.ndarray:
    (depth,) = resolve_limits(data, [limit])
    return np.asarray(depth)


def _plane_arguments(image: Image) -> dict[str, Any]:
    """Return the arguments of a layer in the plane of the slices of `image`."""
    return {
        "scale": image.scale[-2:],
        "translate": image.translate[-2:],
        "units": image.units[-2:],
        "axis_labels": image.axis_labels[-2:],
    }
