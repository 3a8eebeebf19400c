"""One synthetic eye: the FAZ, and the large vessels of the field as objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.volume.phantom.retina import Rim, draw_rim
from napari_octa_sam2.volume.phantom.trees import Trees, grow_trees
from napari_octa_sam2.volume.phantom.tubes import paint_tubes

KINDS = ("artery", "vein")
LARGE = 0.0071  # mm, radius from which a vessel is an object
THINNEST = 0.0098  # mm, least radius of a large vessel as annotators draw it
SHORTEST = 0.25  # mm of a vessel within the field, below which it is left out


@dataclass(frozen=True, eq=False)
class Eye:
    """Anatomy in the plane.

    Parameters
    ----------
    axis : numpy.ndarray
        Position of rows and columns, in mm.
    rim : Rim
        Outline of the FAZ.
    trees : Trees
        All vessels, also beyond the field.
    object : numpy.ndarray
        Object id of the segment that ends at each node; 0 for twigs and outside the
        field.
    classes : dict of int to str
        ``"artery"`` or ``"vein"`` for each object id.
    """

    axis: np.ndarray
    rim: Rim
    trees: Trees
    object: np.ndarray
    classes: dict[int, str]

    @property
    def names(self) -> dict[int, str]:
        """Name of each object: ``"artery 1"``, ``"vein 1"`` and so on."""
        count = dict.fromkeys(KINDS, 0)
        names = {}
        for number, cls in self.classes.items():
            count[cls] += 1
            names[number] = f"{cls} {count[cls]}"
        return names

    @property
    def radius(self) -> np.ndarray:
        """Radius with which vessels are seen and drawn, in mm."""
        step = self.axis[1]
        least = max(THINNEST, 0.6 * step)
        return np.asarray(np.maximum(1.08 * self.trees.radius + 0.12 * step, least))

    @property
    def brightness(self) -> np.ndarray:
        """Flow seen in vessels, up to 1: the thinner, the slower and less."""
        return np.asarray(np.clip((self.trees.radius / 0.014) ** 0.6, 0.3, 1))

    @property
    def ends(self) -> np.ndarray:
        """Nodes at which a segment of an object ends."""
        return np.flatnonzero(self.object)

    @property
    def twigs(self) -> np.ndarray:
        """Nodes at which a segment of a vessel too thin for an object ends."""
        return np.flatnonzero((self.object == 0) & (self.trees.parent >= 0))


def draw_eye(
    rng: np.random.Generator,
    size: int,
    field: float,
    faz_diameter: float,
    pairs: int,
    calibre: float,
    fovea: tuple[float, float] | None = None,
    large: float = LARGE,
) -> Eye:
    """Return a random eye seen in a field of ``size`` pixels and `field` mm.

    The `fovea` lies at (slow, fast), in mm, by default near the middle. A vessel is
    an object where its radius is at least `large` mm.
    """
    axis = np.arange(size) * (field / size)
    if fovea is None:
        row, col = field * rng.uniform(0.42, 0.58, 2)
        fovea = float(row), float(col)
    rim = draw_rim(rng, fovea, faz_diameter)
    trees = grow_trees(rng, field, rim, pairs, calibre)
    objects = _label_objects(trees, field, large)
    classes = {}
    for number in range(1, int(objects.max(initial=0)) + 1):
        kind = trees.kind[objects == number][0]
        classes[number] = KINDS[int(kind)]
    return Eye(axis, rim, trees, objects, classes)


def paint_segments(
    eye: Eye, points: np.ndarray, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> np.ndarray:
    """Paint the objects at `points` and return which segment is where.

    The number is the place of its end in ``eye.ends``, from 1; 0 is no vessel.
    """
    segment = np.zeros(shape, np.uint16)
    ends = eye.ends
    starts = eye.trees.parent[ends]
    radii = np.stack([eye.radius[starts], eye.radius[ends]], 1)
    numbers = np.arange(1, len(ends) + 1)
    paint_tubes(segment, spacing, points[starts], points[ends], radii, numbers)
    return segment


def _label_objects(trees: Trees, field: float, large: float) -> np.ndarray:
    """Give a number to each vessel connected within the field, largest first."""
    inside = np.all((trees.position >= 0) & (trees.position < field), axis=1)
    label = np.zeros(len(trees.parent), int)
    count = 0
    for node, parent in enumerate(trees.parent):
        if parent < 0 or not (inside[node] or inside[parent]):
            continue
        if trees.radius[node] < large:
            continue
        if not label[parent]:
            count += 1
        label[node] = label[parent] or count
    size = np.bincount(label, trees.radius, count + 1)
    long = np.bincount(label, inside, count + 1) * _mean_step(trees) >= SHORTEST
    order = [k for k in np.argsort(-size, kind="stable") if k and long[k]]
    number = np.zeros(count + 1, int)
    number[order] = np.arange(1, len(order) + 1)
    return np.asarray(number[label])


def _mean_step(trees: Trees) -> float:
    linked = trees.parent >= 0
    way = trees.position[linked] - trees.position[trees.parent[linked]]
    return float(np.hypot(*way.T).mean())


def chains(parent: np.ndarray, objects: np.ndarray) -> list[np.ndarray]:
    """Return the nodes of each unbranched vessel segment, from root to tip."""
    children: dict[int, list[int]] = {}
    for end in np.flatnonzero(objects).tolist():
        children.setdefault(int(parent[end]), []).append(end)
    found = []
    for start, branches in children.items():
        if objects[start] and len(branches) == 1:
            continue
        for node in branches:
            chain = [start, node]
            while len(children.get(chain[-1], ())) == 1:
                chain.append(children[chain[-1]][0])
            found.append(np.array(chain))
    return found
