"""Growth of retinal vessels: least-cost paths from the arcades to the tissue.

Arteries and veins leave the optic disc along the temporal arcades. The tissue is
then supplied level by level, from coarse to fine: points no vessel is near are
joined to the trees by least-cost paths through a random medium, where starting far
from the disc costs a part of the way already made. That part balances short trees
against short ways to the disc (Alpert et al., "Prim-Dijkstra tradeoffs", 1995) and
is the cosine of the angle at which branches leave. Radii follow Murray's law at
every bifurcation, ``r0**m = r1**m + r2**m``, with ``m = 2.5``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_octa_sam2.volume.phantom.growth import (
    Forest,
    Level,
    Medium,
    scatter,
    supply,
)
from napari_octa_sam2.volume.phantom.retina import Rim

STEP = 0.06  # mm between the nodes of a trunk
DISC = 4.5  # mm from the fovea to the optic disc
SUPPLY = 15.0  # mm2 of tissue behind the root of an average arcade
MURRAY = 2.5  # 3 in theory; less in most vessels that were measured
KINDS = (0, 1)


@dataclass(frozen=True, eq=False)
class Trees:
    """Grown vessels: nodes ``(n, 2)`` in mm, their parents, kinds and radii.

    `kind` is 0 for arteries and 1 for veins; `parent` is -1 at a root, and comes
    before its children.
    """

    position: np.ndarray
    parent: np.ndarray
    kind: np.ndarray
    radius: np.ndarray


COARSE = (Level(0.95, 0.13, 1.2, 0.4), Level(0.55, 0.11, 0.7, 0.5))
FINE = (Level(0.3, 0.085, 0.2, 0.5), Level(0.17, 0.06, 0.1, 0.5))


def grow_trees(
    rng: np.random.Generator,
    side: float,
    rim: Rim,
    pairs: int,
    calibre: float,
    finest: float = 0.0,
) -> Trees:
    """Grow `pairs` arteries and veins over a field, down to precapillary twigs.

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
        Radius of an artery that supplies `SUPPLY` mm2, in mm; veins are a little
        thicker.
    finest : float
        Levels whose points are closer than this, in mm, are left out.
    """
    forest = Forest(rng, rim, side)
    nasal, turn = rng.choice([-1.0, 1.0]), rng.normal(0, 0.15)
    for pair in range(pairs):
        _plant_pair(forest, pair, nasal, turn)
    medium = Medium(rng, side, COARSE[0].beyond + 0.3)
    ring, ring_kind = _ring(rng, rim)
    for number, level in enumerate(COARSE):
        points = scatter(forest, level)
        kinds = rng.integers(0, 2, len(points))
        if number == 0:
            points = np.concatenate([points, ring])
            kinds = np.concatenate([kinds, ring_kind])
        for kind in rng.permutation(KINDS):
            supply(forest, level, medium, points[kinds == kind], (int(kind),))
    for level in FINE:
        if level.spacing >= finest:
            supply(forest, level, medium, scatter(forest, level), KINDS)
    radius = _murray(forest, calibre)
    position = medium.bend(_smooth(forest.position, forest.parent, radius))
    return Trees(position, forest.parent, forest.kind, radius)


def _plant_pair(forest: Forest, pair: int, nasal: float, turn: float) -> None:
    """Add the trunks of an artery and a vein, elliptic arcs that leave the disc.

    The first two pairs are the arcades; the others end nasally of the fovea.
    """
    rng, rim = forest.rng, forest.rim
    arcade = pair < 2
    height = rng.uniform(1.7, 2.7) if arcade else rng.uniform(0.3, 1.1)
    end = rng.uniform(0.7, 0.95) if arcade else rng.uniform(0.28, 0.4)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for kind in KINDS:
        apex = height + kind * rng.choice([-1, 1]) * rng.uniform(0.25, 1.0)
        apex = max(apex, min(height, 1.65))
        angle = np.arange(0.05, end * np.pi, STEP / (DISC * 0.7))
        curve = np.stack(
            [(-1) ** pair * apex * np.sin(angle), nasal * DISC * np.cos(angle)], 1
        )
        curve = curve @ rotation.T + rim.centre
        for scale, size in ((0.8, 0.1), (2.0, 0.2)):
            curve += size * _wander(rng, len(curve), scale / STEP)
        free = rim.beyond(curve[:, 0], curve[:, 1]) > (0.6 if arcade else 0.3)
        curve = curve[np.logical_and.accumulate(free)]
        count, first = len(curve), len(forest.parent)
        parent = np.arange(first - 1, first + count - 1)
        parent[:1] = -1
        margin = COARSE[0].beyond
        away = ((curve < -margin) | (curve > forest.side + margin)).any(1)
        # Tissue out of sight: a strip on both sides of the trunk.
        supply = np.where(away, STEP * rng.uniform(0.6, 1.6), 1e-4)
        forest.add(curve, parent, np.full(count, kind), supply)


def _wander(rng: np.random.Generator, count: int, scale: float) -> np.ndarray:
    """Return a smooth random walk in the plane, of unit variance."""
    white = rng.standard_normal((count, 2))
    smooth = ndimage.gaussian_filter1d(white, 0.6 * scale, axis=0)
    return np.asarray(smooth * np.sqrt(2 * np.sqrt(np.pi) * 0.6 * scale))


def _ring(rng: np.random.Generator, rim: Rim) -> tuple[np.ndarray, np.ndarray]:
    """Return points round the FAZ, alternately for arteries and veins."""
    count = int(rng.integers(9, 17))
    angle = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count
    angle += rng.uniform(0, 2 * np.pi)
    away = rim.radius * 1.15 + rng.uniform(0.1, 0.5, count)
    turned = np.stack([np.sin(angle), np.cos(angle)], 1)
    return turned * away[:, None] + rim.centre, np.arange(count) % 2


def _smooth(
    position: np.ndarray, parent: np.ndarray, radius: np.ndarray, rounds: int = 8
) -> np.ndarray:
    """Relax nodes towards the middle between their parent and their main branch."""
    position = position.copy()
    linked = np.flatnonzero(parent >= 0)
    main = np.full(len(parent), -1)
    thin_first = linked[np.argsort(radius[linked], kind="stable")]
    main[parent[thin_first]] = thin_first
    inner = np.flatnonzero((parent >= 0) & (main >= 0))
    for _ in range(rounds):
        middle = (position[parent[inner]] + position[main[inner]]) / 2
        position[inner] += 0.5 * (middle - position[inner])
    return position


def _murray(forest: Forest, calibre: float) -> np.ndarray:
    """Return radii; their power `MURRAY` is as the tissue that lies behind a node."""
    supply, parent = forest.supply.copy(), forest.parent
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            supply[parent[node]] += supply[node]
    wide = np.array([calibre, calibre * forest.rng.uniform(1.05, 1.25)])
    return np.asarray(wide[forest.kind] * (supply / SUPPLY) ** (1 / MURRAY))
