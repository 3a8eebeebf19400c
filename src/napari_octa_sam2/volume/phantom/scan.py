"""The phantom volume: anatomy, its exact truth and its image."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from napari_octa_sam2 import __version__
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.phantom.anatomy import Eye, chains, draw_eye
from napari_octa_sam2.volume.phantom.capillaries import draw_mesh
from napari_octa_sam2.volume.phantom.imaging import project, scan
from napari_octa_sam2.volume.phantom.records import Centreline, Phantom, PhantomConfig
from napari_octa_sam2.volume.phantom.retina import SmoothField, draw_surfaces
from napari_octa_sam2.volume.phantom.tubes import paint_tubes


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
    Plexus(0.35, 0.075, 0.010, 0.95, 0.0),
    Plexus(0.52, 0.085, 0.009, 0.75, 0.02),
    Plexus(0.70, 0.075, 0.008, 0.7, 0.01),
    Plexus(0.90, 0.065, 0.008, 0.9, 0.03),
)


def make_phantom(config: PhantomConfig | None = None) -> Phantom:
    """Return the phantom of a configuration.

    Parameters
    ----------
    config : PhantomConfig, optional
        By default ``PhantomConfig()``.

    Returns
    -------
    Phantom
        The image and its exact truth; equal for equal configurations.
    """
    config = config or PhantomConfig()
    rng = np.random.default_rng(config.seed)
    eye = draw_eye(
        rng,
        config.size,
        config.field_mm,
        config.faz_diameter_mm,
        config.pairs,
        config.vessel_radius_mm,
    )
    spacing = config.spacing
    surfaces = draw_surfaces(
        rng, eye.axis, config.field_mm, eye.rim, config.depth * spacing[0]
    )
    points = _place(rng, eye, surfaces)
    objects = _paint_objects(config, eye, points)
    vessels = objects > 0
    meshes, plexus = _paint_plexuses(rng, config, eye, surfaces)
    outline = eye.rim.beyond(eye.axis[:, None], eye.axis[None]) < 0
    capillaries = (meshes > 0) & ~vessels
    z = config.depths
    faz = outline & (z >= surfaces[0]) & (z <= surfaces[2])
    flow = np.where(vessels, np.float32(0.75), meshes)
    image = scan(rng, config, eye, surfaces, flow)
    return Phantom(
        volume=_volume(config, eye, image, objects, faz),
        centrelines=_centrelines(eye, points),
        surfaces=(surfaces / spacing[0]).astype(np.float32),
        vessels=vessels,
        capillaries=capillaries,
        faz=faz,
        projections=project(image, z, surfaces),
        masks=_masks(eye, objects, plexus, outline),
    )


def _place(rng: np.random.Generator, eye: Eye, surfaces: np.ndarray) -> np.ndarray:
    """Return the nodes in space, (depth, slow, fast): just under the ILM."""
    trees, step = eye.trees, eye.axis[1]
    at = trees.position.T / step
    ilm, ipl = (
        ndimage.map_coordinates(s, at, order=1, mode="nearest") for s in surfaces[:2]
    )
    side = float(eye.axis[-1])
    wave = SmoothField(rng, side, 0.5).at(np.clip(trees.position, 0, side))
    share = np.where(trees.kind == 0, 0.22, 0.38) + 0.06 * wave
    below = np.maximum(trees.radius + 0.004, share * (ipl - ilm))
    return np.column_stack([ilm + below, trees.position])


def _paint_objects(config: PhantomConfig, eye: Eye, points: np.ndarray) -> np.ndarray:
    ends = eye.ends
    starts = eye.trees.parent[ends]
    dtype = np.uint8 if len(eye.classes) < 255 else np.uint16
    objects = np.zeros((config.depth, config.size, config.size), dtype)
    radii = np.stack([eye.trees.radius[starts], eye.trees.radius[ends]], 1)
    paint_tubes(
        objects, config.spacing, points[starts], points[ends], radii, eye.object[ends]
    )
    return objects


def _paint_plexuses(
    rng: np.random.Generator, config: PhantomConfig, eye: Eye, surfaces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow of all capillaries, and the superficial ones en face."""
    step = config.spacing[0]
    flow = np.zeros((config.depth, config.size, config.size), np.float32)
    rows, cols = np.indices(flow.shape[1:])
    superficial = np.zeros(flow.shape[1:], bool)
    for plexus in PLEXUSES:
        loop = max(plexus.loop, 4 * eye.axis[1])
        mesh = draw_mesh(rng, eye.axis, loop, eye.rim, plexus.retreat)
        wide = max(plexus.radius, 0.6 * eye.axis[1], 0.6 * step)
        wave = SmoothField(rng, float(eye.axis[-1]), 0.15).on_grid(eye.axis)
        level = np.clip(plexus.level + 0.05 * wave, 0.05, 1)
        sheet = surfaces[0] + level * (surfaces[2] - surfaces[0])
        half = np.sqrt(np.maximum(wide**2 - np.minimum(mesh.distance, 1) ** 2, 0))
        centre = np.round(sheet / step).astype(int)
        reach = int(np.ceil(wide / step)) + 1
        for offset in range(-reach, reach + 1):
            z = centre + offset
            hit = (half > 0) & (np.abs(z * step - sheet) <= half)
            hit &= (z >= 0) & (z < config.depth)
            at = z[hit], rows[hit], cols[hit]
            flow[at] = np.maximum(flow[at], plexus.bright * mesh.gain[hit])
        if not superficial.any():
            superficial = half > 0
    return flow, superficial


def _masks(
    eye: Eye, objects: np.ndarray, plexus: np.ndarray, outline: np.ndarray
) -> dict[str, np.ndarray]:
    ids = {
        cls: [n for n, c in eye.classes.items() if c == cls]
        for cls in ("artery", "vein")
    }
    vessels = np.any(objects > 0, axis=0)
    return {
        "RV": vessels,
        "artery": np.any(np.isin(objects, ids["artery"]), axis=0),
        "vein": np.any(np.isin(objects, ids["vein"]), axis=0),
        "FAZ": outline,
        "capillary": vessels | plexus,
    }


def _volume(
    config: PhantomConfig,
    eye: Eye,
    image: np.ndarray,
    objects: np.ndarray,
    faz: np.ndarray,
) -> OctaVolume:
    last = len(eye.classes) + 1
    labels = LabelSet(
        np.where(faz, objects.dtype.type(last), objects),
        {**eye.names, last: "FAZ"},
        {**eye.classes, last: "FAZ"},
    )
    resolved = asdict(config) | {"depth_mm": config.depth * config.spacing[0]}
    return OctaVolume(
        image,
        ScanGeometry(config.spacing, "mm"),
        name=f"phantom {config.seed}",
        labels={"objects": labels},
        provenance={"phantom": resolved, "version": __version__},
    )


def _centrelines(eye: Eye, points: np.ndarray) -> tuple[Centreline, ...]:
    return tuple(
        Centreline(points[c], eye.trees.radius[c], int(eye.object[c[-1]]))
        for c in chains(eye.trees.parent, eye.object)
    )
