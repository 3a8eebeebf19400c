"""Growth of the large retinal vessels by space colonisation.

Arteries and veins leave the optic disc along the temporal arcades; side branches
then grow towards tissue that no vessel supplies yet (Runions et al., "Modeling
trees with a space colonization algorithm", 2007), first coarsely and round the
foveal avascular zone, then finely. Radii follow Murray's law at every bifurcation,
``r0**3 = r1**3 + r2**3``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_octa_sam2.volume.phantom.retina import Rim, SmoothField

STEP = 0.06  # mm between nodes
DISC = 4.5  # mm from the fovea to the optic disc
ANY = -1


@dataclass(eq=False)
class Forest:
    """Nodes of all trees in the plane; a parent comes before its children."""

    rng: np.random.Generator
    position: list[np.ndarray] = field(default_factory=list)
    heading: list[np.ndarray] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)

    def add(self, position: np.ndarray, parent: int, kind: int) -> int:
        """Add a node and return its index; `parent` is -1 for a root."""
        heading = np.zeros(2)
        if parent >= 0:
            step = position - self.position[parent]
            heading = step / max(float(np.hypot(*step)), 1e-9)
            self.children[parent] += 1
        self.position.append(position)
        self.heading.append(heading)
        self.parent.append(parent)
        self.kind.append(kind)
        self.children.append(0)
        return len(self.parent) - 1


@dataclass(frozen=True, eq=False)
class Trees:
    """Grown vessels: nodes ``(n, 2)`` in mm, their parents, kinds and radii.

    `kind` is 0 for arteries and 1 for veins; `parent` is -1 at a root.
    """

    position: np.ndarray
    parent: np.ndarray
    kind: np.ndarray
    radius: np.ndarray


def grow_trees(
    rng: np.random.Generator, side: float, rim: Rim, pairs: int, calibre: float
) -> Trees:
    """Grow `pairs` arteries and veins over a field.

    Parameters
    ----------
    rng : numpy.random.Generator
    side : float
        Side of the field, in mm. Trees extend beyond it.
    rim : Rim
        Outline of the FAZ, which no vessel enters.
    pairs : int
        Artery and vein pairs that leave the optic disc.
    calibre : float
        Radius of the thickest artery, in mm; the thickest vein is a little thicker.
    """
    forest = Forest(rng)
    nasal, turn = rng.choice([-1.0, 1.0]), rng.normal(0, 0.2)
    for pair in range(pairs):
        _plant_pair(forest, rim, pair, nasal, turn)
        if pair == min(pairs, 2) - 1:
            for margin in (1.0, 0.5, 0.12):
                ring = _ring(rng, rim, margin)
                _colonise(forest, rim, ring, np.arange(len(ring)) % 2)
    for spacing in (1.1, 0.75, 0.52):
        beyond = 1.2 if spacing > 1 else 0.2
        points = _scatter(rng, -beyond, side + beyond, spacing)
        points = points[rim.beyond(points[:, 0], points[:, 1]) > 0.2]
        kinds = np.where(rng.random(len(points)) < 0.2, rng.integers(0, 2), ANY)
        _colonise(forest, rim, points, kinds, kill=0.5 * spacing)
    parent, kind = np.array(forest.parent), np.array(forest.kind)
    position = _smooth(np.array(forest.position), parent)
    return Trees(position, parent, kind, _murray(rng, parent, kind, calibre))


def _plant_pair(forest: Forest, rim: Rim, pair: int, nasal: float, turn: float) -> None:
    """Add the trunks of an artery and a vein, elliptic arcs that leave the disc.

    The first two pairs are the arcades; the others end nasally of the fovea.
    """
    rng = forest.rng
    arcade = pair < 2
    height = rng.uniform(1.6, 2.6) if arcade else rng.uniform(0.3, 1.1)
    end = rng.uniform(0.75, 0.95) if arcade else rng.uniform(0.28, 0.4)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for kind in (0, 1):
        apex = height + kind * rng.choice([-1, 1]) * rng.uniform(0.25, 0.9)
        angle = np.arange(0.05, end * np.pi, STEP / (DISC * 0.7))
        curve = np.stack(
            [(-1) ** pair * apex * np.sin(angle), nasal * DISC * np.cos(angle)], 1
        )
        curve = curve @ rotation.T + rim.centre
        for axis in (0, 1):
            wave = SmoothField(rng, 2 * DISC + 4, 0.8)
            curve[:, axis] += 0.11 * wave.at(curve + DISC)
        free = rim.beyond(curve[:, 0], curve[:, 1]) > (0.6 if arcade else 0.3)
        node = -1
        for point in curve[np.logical_and.accumulate(free)]:
            node = forest.add(point, node, kind)


def _ring(rng: np.random.Generator, rim: Rim, margin: float) -> np.ndarray:
    """Return targets round the FAZ, so that long branches point to it."""
    count = int(rng.integers(10, 15))
    angle = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count
    angle += rng.uniform(0, 2 * np.pi)
    away = rim.radius * 1.2 + margin + rng.uniform(0, 0.35, count)
    return np.asarray(
        np.stack([np.sin(angle), np.cos(angle)], 1) * away[:, None] + rim.centre
    )


def _scatter(
    rng: np.random.Generator, low: float, high: float, spacing: float
) -> np.ndarray:
    axis = np.arange(low, high, spacing)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return np.asarray(grid + rng.uniform(0, spacing, grid.shape))


def _colonise(
    forest: Forest,
    rim: Rim,
    targets: np.ndarray,
    kinds: np.ndarray,
    kill: float = 0.12,
    rounds: int = 120,
) -> None:
    """Grow branches until every target has a vessel within `kill` mm.

    A target calls the node from which it is reached with the least effort, distance
    less a bonus for lying ahead: so branches leave at about 57 degrees, downstream.
    """
    near, gap = np.full((2, len(targets)), np.inf)
    nearest = np.zeros(len(targets), int)
    seen = 0
    for _ in range(rounds):
        fresh = np.array(forest.position[seen:])
        wrong = (kinds[:, None] != ANY) & (
            kinds[:, None] != np.array(forest.kind[seen:])
        )
        way = targets[:, None] - fresh
        distance = np.linalg.norm(way, axis=2) + 1e3 * wrong
        ahead = (way * np.array(forest.heading[seen:])).sum(2)
        effort = 1.3 * distance - 0.7 * ahead
        best = effort.argmin(1)
        closest = effort[np.arange(len(targets)), best]
        nearest = np.where(closest < near, best + seen, nearest)
        near = np.minimum(near, closest)
        seen = len(forest.parent)
        gap = np.minimum(gap, distance.min(1))
        alive = gap > kill
        targets, kinds = targets[alive], kinds[alive]
        near, nearest, gap = near[alive], nearest[alive], gap[alive]
        if not len(targets) or not _sprout(forest, rim, targets, nearest):
            return


def _sprout(forest: Forest, rim: Rim, targets: np.ndarray, nearest: np.ndarray) -> bool:
    """Extend every node that is nearest to a target; say whether any grew."""
    grown = False
    for node in np.unique(nearest):
        if forest.children[node] >= 2:
            continue
        origin = forest.position[node]
        pull = targets[nearest == node] - origin
        pull = (pull / np.linalg.norm(pull, axis=1, keepdims=True)).mean(0)
        inertia = 0.8 if forest.children[node] == 0 else 0.3
        way = pull + inertia * forest.heading[node] + forest.rng.normal(0, 0.25, 2)
        point = origin + STEP * way / max(float(np.hypot(*way)), 1e-9)
        margin = rim.beyond(point[0], point[1])
        approach = rim.beyond(origin[0], origin[1]) - margin
        if margin > 0.06 and (margin > 0.4 or approach > 0.3 * STEP):
            forest.add(point, int(node), forest.kind[node])
            grown = True
    return grown


def _smooth(position: np.ndarray, parent: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Relax nodes that have one child towards the middle of their neighbours."""
    linked = parent >= 0
    count = np.bincount(parent[linked], minlength=len(parent))
    inner = linked & (count == 1)
    child = np.zeros(len(parent), int)
    child[parent[linked]] = np.flatnonzero(linked)
    for _ in range(rounds):
        middle = (position[parent[inner]] + position[child[inner]]) / 2
        position[inner] += 0.5 * (middle - position[inner])
    return position


def _murray(
    rng: np.random.Generator, parent: np.ndarray, kind: np.ndarray, calibre: float
) -> np.ndarray:
    """Return radii: what leaves a node, cubed, adds up to what enters it.

    What enters is the flow of the branches and, at each step, a little for the
    capillaries, hence vessels taper.
    """
    linked = parent >= 0
    tips = np.bincount(parent[linked], minlength=len(parent)) == 0
    cubed = np.where(tips, 0.12, 0.03)
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            cubed[parent[node]] += cubed[node]
    radius = np.cbrt(cubed)
    for k, widest in ((0, calibre), (1, calibre * rng.uniform(1.05, 1.25))):
        radius[kind == k] *= widest / radius[kind == k].max()
    return np.asarray(radius)
