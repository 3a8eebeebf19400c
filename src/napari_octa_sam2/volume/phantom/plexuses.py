"""The vessels of a volume that are too thin to be objects: twigs and plexuses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.volume.phantom.anatomy import Eye
from napari_octa_sam2.volume.phantom.capillaries import draw_mesh
from napari_octa_sam2.volume.phantom.records import PhantomConfig
from napari_octa_sam2.volume.phantom.retina import SmoothField

FLOW = 0.85  # of the largest vessels


@dataclass(frozen=True)
class Plexus:
    """A sheet of capillaries between the ILM (0) and the OPL (1).

    `loop` and `radius` are in mm; `retreat` is how far it ends outside the FAZ.
    """

    level: float
    loop: float
    radius: float
    bright: float
    retreat: float


PLEXUSES = (
    Plexus(0.35, 0.070, 0.008, 0.55, 0.0),
    Plexus(0.52, 0.080, 0.008, 0.52, 0.02),
    Plexus(0.72, 0.085, 0.009, 0.60, 0.01),
    Plexus(0.90, 0.080, 0.009, 0.62, 0.03),
)


def paint_fine(
    rng: np.random.Generator,
    config: PhantomConfig,
    eye: Eye,
    surfaces: np.ndarray,
    points: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow of twigs and capillaries, and where they are seen en face."""
    step, pixel = config.spacing[0], eye.axis[1]
    flow = np.zeros((config.depth, config.size, config.size), np.float32)
    flat = _paint_twigs(flow, config, eye, points)
    seen = min(1.0, 0.011 / pixel)
    strength = rng.uniform(0.8, 1.2) * seen**0.5
    widen = rng.uniform(0, 0.6)
    for plexus in PLEXUSES:
        loop = max(plexus.loop * rng.uniform(0.85, 1.3), 4.5 * pixel)
        mesh = draw_mesh(rng, eye.axis, loop, eye.rim, plexus.retreat, widen)
        wide = max(plexus.radius, 0.62 * pixel, 0.6 * step)
        wave = SmoothField(rng, float(eye.axis[-1]), 0.15).on_grid(eye.axis)
        level = np.clip(plexus.level + 0.08 * wave, 0.05, 1)
        sheet = surfaces[0] + level * (surfaces[2] - surfaces[0])
        rows, cols = np.nonzero(mesh.distance < wide)
        half = np.sqrt(wide**2 - mesh.distance[rows, cols] ** 2) + 0.003
        fill = min(1.0, 2 * plexus.radius / step)
        bright = fill * plexus.bright * mesh.gain[rows, cols] * strength
        _paint_columns(flow, step, rows, cols, sheet[rows, cols], half, bright)
        if plexus.level < 0.6:
            flat[rows, cols] |= mesh.gain[rows, cols] * seen > 0.4
    return flow, flat


def _paint_twigs(
    flow: np.ndarray, config: PhantomConfig, eye: Eye, points: np.ndarray
) -> np.ndarray:
    """Paint the vessels too thin to be objects, a pixel wide."""
    pixel, size = eye.axis[1], config.size
    ends = eye.twigs
    share = np.linspace(0, 1, int(np.ceil(0.16 / pixel)))[None, :, None]
    a, b = points[eye.trees.parent[ends]][:, None], points[ends][:, None]
    at = (a + share * (b - a)).reshape(-1, 3)
    radius = np.repeat(eye.trees.radius[ends], share.shape[1])
    rows, cols = np.round(at[:, 1:] / pixel).astype(int).T
    inside = (rows >= 0) & (cols >= 0) & (rows < size) & (cols < size)
    rows, cols, radius, z = rows[inside], cols[inside], radius[inside], at[inside, 0]
    bright = 0.7 * FLOW * np.repeat(eye.brightness[ends], share.shape[1])[inside]
    half = np.maximum(radius, 0.6 * config.spacing[0])
    _paint_columns(flow, config.spacing[0], rows, cols, z, half, bright)
    flat = np.zeros((size, size), bool)
    flat[rows, cols] = True
    return flat


def _paint_columns(
    flow: np.ndarray,
    step: float,
    rows: np.ndarray,
    cols: np.ndarray,
    middle: np.ndarray,
    half: np.ndarray,
    bright: np.ndarray,
) -> None:
    """Raise `flow` to `bright` within `half` mm above and below `middle` mm."""
    centre = np.round(middle / step).astype(int)
    reach = int(np.ceil(half.max(initial=0) / step)) + 1
    for offset in range(-reach, reach + 1):
        z = centre + offset
        hit = np.abs(z * step - middle) <= half
        hit &= (z >= 0) & (z < len(flow))
        at = z[hit], rows[hit], cols[hit]
        flow[at] = np.maximum(flow[at], bright[hit])
