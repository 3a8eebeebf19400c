"""How good a network is on samples that were held out, in use as users use it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.metrics.segmentation.clicks import next_click
from napari_octa_sam2.metrics.segmentation.overlap import dice, iou
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import SEGMENTABLE, Prompt
from napari_octa_sam2.training.config import ClipConfig
from napari_octa_sam2.training.data.scenes import Sample, Scene

MOST_OBJECTS = 4  # single objects of a sample, the largest
PICTURE_SIDE = 256


@dataclass(frozen=True, eq=False)
class Judged:
    """The masks of one object of a sample, against its truth.

    Parameters
    ----------
    sample : str
    object : str
        Class, or number of the single object.
    dice, iou : float
        Mean over the slices with truth.
    picture : numpy.ndarray
        First slice, with its truth beside it as `compared` draws them.
    """

    sample: str
    object: str
    dice: float
    iou: float
    picture: np.ndarray


def judge(
    model: LoadedModel, samples: Sequence[Sample], clip: ClipConfig
) -> Iterator[Judged]:
    """Prompt every sample by its class, or else by one click, and compare.

    Classes that the model can be asked for are; other objects get the first click of
    `metrics.segmentation.clicks.next_click` on the first slice with truth that shows
    them. Then they are followed through all slices.

    Parameters
    ----------
    model : LoadedModel
    samples : sequence of Sample
    clip : ClipConfig
        Its labels say what is judged.
    """
    for sample in samples:
        scene = sample.read()
        data = scene.images
        if data.ndim == 4:  # a composite is given as the three maps it is made of
            data = _maps(data, model)
        asked = list(enumerate(_objects(scene, clip, model.classes), start=1))
        session = Session(data, model, device=_device(model))
        masks: dict[tuple[int, int], np.ndarray] = {}
        for number, (_, truth, whole) in asked:
            prompt = _first_prompt(number, truth, whole, scene)
            found = session.add(prompt)
            masks[number, prompt.slice] = found.mask(number)
        if len(data) > 1 and asked:
            for found in session.propagate("both"):
                for number, _ in asked:
                    masks[number, found.slice] = found.mask(number)
        for number, (name, truth, _) in asked:
            own = {z: mask for (n, z), mask in masks.items() if n == number}
            yield _judged(sample.name, name, own, truth, scene)


def _first_prompt(
    number: int, truth: np.ndarray, whole: str | None, scene: Scene
) -> Prompt:
    """Return the class prompt, or a click, on the first slice with truth."""
    first = next(z for z in _shown(truth, scene))
    if whole is not None:
        return Prompt(number, first, whole=whole)
    click = next_click(truth[first], np.zeros_like(truth[first]))
    assert click is not None
    return Prompt(number, first, ((float(click.row), float(click.col)),), (1,))


def _shown(truth: np.ndarray, scene: Scene) -> list[int]:
    """Return the slices with truth that show the object."""
    return [int(z) for z in np.flatnonzero(_labelled(scene)) if truth[z].any()]


def _judged(
    sample: str,
    name: str,
    masks: dict[int, np.ndarray],
    truth: np.ndarray,
    scene: Scene,
) -> Judged:
    known = [int(z) for z in np.flatnonzero(_labelled(scene)) if int(z) in masks]
    judged = [z for z in known if truth[z].any() or masks[z].any()]
    first = _shown(truth, scene)[0]
    return Judged(
        sample,
        name,
        float(np.mean([dice(masks[z], truth[z]) for z in judged])),
        float(np.mean([iou(masks[z], truth[z]) for z in judged])),
        compared(scene.images[first], masks[first], truth[first]),
    )


def compared(image: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return a slice with what was found, red-green-blue, uint8.

    Found and true is bluish green, found alone vermilion, missed sky blue (Okabe and
    Ito's colours, which the colour-blind tell apart).
    """
    grey = image.mean(0) if image.ndim == 3 else image
    picture = np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
    colours = {
        (True, True): (0.0, 0.62, 0.45),
        (True, False): (0.84, 0.37, 0.0),
        (False, True): (0.34, 0.71, 0.91),
    }
    for (found, true), colour in colours.items():
        where = (mask == found) & (truth == true)
        picture[where] = 0.4 * picture[where] + 0.6 * np.array(colour)
    return (picture * 255).astype(np.uint8)


def write_picture(file: Path, judged: Sequence[Judged], most: int = 4) -> None:
    """Write the pictures of some samples side by side, the worst first."""
    from PIL import Image

    tiles = [
        Image.fromarray(each.picture).resize((PICTURE_SIDE, PICTURE_SIDE))
        for each in sorted(judged, key=lambda each: each.dice)[:most]
    ]
    strip = Image.new("RGB", (PICTURE_SIDE * len(tiles), PICTURE_SIDE))
    for column, tile in enumerate(tiles):
        strip.paste(tile, (column * PICTURE_SIDE, 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    strip.save(content, "PNG")
    write_whole(file, content.getvalue())


def _objects(
    scene: Scene, clip: ClipConfig, classes: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, str | None]]:
    """Yield name and mask of what is judged, and the class to ask for."""
    known = _labelled(scene)
    by_class = [
        name
        for name in SEGMENTABLE
        if name in scene.classes and (not clip.labels or name in clip.labels)
    ]
    for name in by_class if clip.whole or not scene.instances.any() else []:
        if scene.classes[name][known].any():
            whole = name if name in classes else None
            yield name, scene.classes[name], whole
    if clip.whole < 1:
        ids, areas = np.unique(scene.instances[known], return_counts=True)
        order = sorted(zip(areas, ids, strict=True), reverse=True)
        chosen = [int(i) for area, i in order if i and area >= clip.min_area]
        for index in chosen[:MOST_OBJECTS]:
            yield str(index), scene.instances == index, None


def _labelled(scene: Scene) -> np.ndarray:
    if scene.labelled is None:
        return np.ones(len(scene.images), bool)
    return scene.labelled


def _maps(composites: np.ndarray, model: LoadedModel) -> np.ndarray:
    from napari_octa_sam2.model.appearance import SLABS, appearance_of

    names = appearance_of(model.network).composite
    if not names:
        grey: np.ndarray = composites.mean(1)
        return grey
    return np.stack([composites[0, names.index(slab)] for slab in SLABS])


def _device(model: Any) -> str:
    return str(next(model.network.parameters()).device.type)
