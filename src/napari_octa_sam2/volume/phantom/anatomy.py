"""One synthetic eye: the FAZ, and the large vessels of the field as objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.volume.phantom.retina import Rim, draw_rim
from napari_octa_sam2.volume.phantom.trees import Trees, grow_trees

KINDS = ("artery", "vein")
SHORTEST = 0.3  # mm of a vessel within the field, below which it is left out


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
        Object id of the segment that ends at each node; 0 outside the field.
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
    def ends(self) -> np.ndarray:
        """Nodes at which a segment of an object ends."""
        return np.flatnonzero(self.object)


def draw_eye(
    rng: np.random.Generator,
    size: int,
    field: float,
    faz_diameter: float,
    pairs: int,
    calibre: float,
) -> Eye:
    """Return a random eye seen in a field of ``size`` pixels and `field` mm."""
    axis = np.arange(size) * (field / size)
    row, col = field * rng.uniform(0.44, 0.56, 2)
    rim = draw_rim(rng, (float(row), float(col)), faz_diameter)
    trees = grow_trees(rng, field, rim, pairs, calibre)
    objects = _label_objects(trees, field)
    classes = {}
    for number in range(1, int(objects.max(initial=0)) + 1):
        kind = trees.kind[objects == number][0]
        classes[number] = KINDS[int(kind)]
    return Eye(axis, rim, trees, objects, classes)


def _label_objects(trees: Trees, field: float) -> np.ndarray:
    """Give a number to each vessel connected within the field, largest first."""
    inside = np.all((trees.position >= 0) & (trees.position < field), axis=1)
    label = np.zeros(len(trees.parent), int)
    count = 0
    for node, parent in enumerate(trees.parent):
        if parent < 0 or not (inside[node] or inside[parent]):
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
