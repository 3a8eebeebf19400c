"""Growth by least-cost paths: tissue points are joined to the vessels there are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from napari_octa_sam2.volume.phantom.retina import Rim, SmoothField


@dataclass(frozen=True)
class Level:
    """Tissue points `spacing` mm apart, joined through sites `grain` mm apart."""

    spacing: float
    grain: float
    beyond: float
    thrift: float


@dataclass(eq=False)
class Forest:
    """Nodes of all trees in the plane; `way` is the length from the root, in mm."""

    rng: np.random.Generator
    rim: Rim
    side: float
    position: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    parent: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    kind: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    way: np.ndarray = field(default_factory=lambda: np.empty(0))
    supply: np.ndarray = field(default_factory=lambda: np.empty(0))

    def add(
        self,
        position: np.ndarray,
        parent: np.ndarray,
        kind: np.ndarray,
        supply: np.ndarray,
    ) -> None:
        """Add nodes, parents first; `supply` is the tissue they feed, in mm2."""
        first = len(self.parent)
        self.position = np.concatenate([self.position, position])
        self.parent = np.concatenate([self.parent, parent])
        self.kind = np.concatenate([self.kind, kind])
        self.supply = np.concatenate([self.supply, supply])
        way = np.concatenate([self.way, np.zeros(len(parent))])
        for node in range(first, len(way)):
            if (before := self.parent[node]) >= 0:
                step = self.position[node] - self.position[before]
                way[node] = way[before] + np.hypot(*step)
        self.way = way


class Medium:
    """Tissue through which paths grow, `margin` mm beyond the field on each side."""

    def __init__(self, rng: np.random.Generator, side: float, margin: float) -> None:
        self.low, self.high = -margin, side + margin
        extent = side + 2 * margin
        self.ease = [SmoothField(rng, extent, scale) for scale in (0.7, 0.25)]
        tortuous = rng.uniform(0.6, 2.0)
        self.waves = [
            (size * tortuous, SmoothField(rng, extent, scale), axis)
            for scale, size in ((0.5, 0.04), (0.2, 0.014))
            for axis in (0, 1)
        ]

    def slowness(self, points: np.ndarray) -> np.ndarray:
        """Return the cost of a path at `points`, per mm."""
        return np.asarray(np.exp(sum(0.3 * f.at(points - self.low) for f in self.ease)))

    def bend(self, points: np.ndarray) -> np.ndarray:
        """Return where the bend of the plane puts `points`."""
        inside = np.clip(points, self.low, self.high) - self.low
        bent = points.copy()
        for size, wave, axis in self.waves:
            bent[:, axis] += size * wave.at(inside)
        return bent


def scatter(forest: Forest, level: Level) -> np.ndarray:
    """Return jittered points of the tissue, outside the FAZ."""
    points = _jitter(forest, level.spacing, level.beyond)
    margin = min(0.5 * level.spacing, 0.25)
    return points[forest.rim.beyond(points[:, 0], points[:, 1]) > margin]


def _jitter(forest: Forest, spacing: float, beyond: float) -> np.ndarray:
    axis = np.arange(-beyond, forest.side + beyond, spacing)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return np.asarray(grid + forest.rng.uniform(0, spacing, grid.shape))


def supply(
    forest: Forest,
    level: Level,
    medium: Medium,
    points: np.ndarray,
    kinds: tuple[int, ...],
) -> None:
    """Join to the trees of `kinds` the points that lie away from them."""
    own = np.isin(forest.kind, kinds)
    sites = _jitter(forest, level.grain, level.beyond + 0.05)
    sites = sites[forest.rim.beyond(sites[:, 0], sites[:, 1]) > 0.03]
    tree = cKDTree(forest.position[own])
    sites = sites[tree.query(sites)[0] > 0.6 * level.grain]
    gap = tree.query(points)[0]
    points = points[gap > 0.45 * level.spacing]
    if not len(points):
        return
    near = (np.abs(forest.position - forest.side / 2) < forest.side / 2 + 2).all(1)
    roots = np.flatnonzero(own & near)
    nodes = np.concatenate([forest.position[roots], sites])
    before = _least_cost(forest, level, medium, nodes, roots, kinds)
    ends = len(roots) + cKDTree(sites).query(points)[1]
    _graft(forest, nodes, roots, before, np.unique(ends), level)


def _least_cost(
    forest: Forest,
    level: Level,
    medium: Medium,
    nodes: np.ndarray,
    roots: np.ndarray,
    kinds: tuple[int, ...],
) -> np.ndarray:
    """Return the node before each on its way from the trees; roots have none."""
    slow = medium.slowness(np.clip(nodes, medium.low, medium.high))
    slow *= np.exp(0.25 * forest.rng.standard_normal(len(nodes)))
    # Vessels end near the FAZ; hardly any leads round it to the other side.
    slow *= 1 + 5 * np.exp(-((forest.rim.beyond(*nodes.T) / 0.3) ** 2))
    if len(kinds) == 1 and (other := forest.kind != kinds[0]).any():
        gap = cKDTree(forest.position[other]).query(nodes)[0]
        slow *= 1 + 3 * np.exp(-((gap / 0.18) ** 2))
    a, b = cKDTree(nodes).query_pairs(1.75 * level.grain, output_type="ndarray").T
    kept = np.maximum(a, b) >= len(roots)
    a, b = a[kept], b[kept]
    step = nodes[b] - nodes[a]
    length = np.hypot(*step.T)
    radial = (nodes[a] + nodes[b]) / 2 - forest.rim.centre
    reach = np.hypot(*radial.T)
    across = (step[:, 0] * radial[:, 1] - step[:, 1] * radial[:, 0]) / (
        length * np.maximum(reach, 1e-6)
    )
    # Near the fovea vessels run towards it.
    cost = length * (slow[a] + slow[b]) / 2
    cost *= 1 + 2.5 * np.exp(-((reach / 2.2) ** 2)) * across**2
    count = len(nodes)
    start = np.full(len(roots), count)
    root = np.arange(len(roots))
    head = 1e-6 + level.thrift * forest.way[roots]
    graph = csr_array(
        (
            np.concatenate([cost, cost, head]),
            (np.concatenate([a, b, start]), np.concatenate([b, a, root])),
        ),
        shape=(count + 1, count + 1),
    )
    before = dijkstra(graph, indices=count, return_predecessors=True)[1][:count]
    before[root] = -1
    return np.asarray(before)


def _graft(
    forest: Forest,
    nodes: np.ndarray,
    roots: np.ndarray,
    before: np.ndarray,
    ends: np.ndarray,
    level: Level,
) -> None:
    """Add the paths to `ends` to the forest."""
    index = np.full(len(nodes), -1)
    index[: len(roots)] = roots
    added: list[int] = []
    parents: list[int] = []
    last = len(forest.parent)
    for end in ends.tolist():
        path = []
        while end >= 0 and index[end] < 0:
            path.append(end)
            end = int(before[end])
        if end < 0:
            continue
        for node in reversed(path):
            index[node] = last + len(added)
            parents.append(int(index[before[node]]))
            added.append(node)
    parent = np.array(parents, int)
    kind = np.empty(len(parent), int)
    for i, p in enumerate(parents):
        kind[i] = forest.kind[p] if p < last else kind[p - last]
    tips = np.isin(added, ends)
    supply = np.where(tips, level.spacing**2 / 4, 1e-4)
    forest.add(nodes[added], parent, kind, supply)
