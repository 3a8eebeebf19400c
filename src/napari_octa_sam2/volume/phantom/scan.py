"""The phantom volume: anatomy, its exact truth and its image."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from scipy import ndimage

from napari_octa_sam2 import __version__
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.phantom.anatomy import (
    Eye,
    chains,
    draw_eye,
    paint_segments,
)
from napari_octa_sam2.volume.phantom.imaging import project, scan
from napari_octa_sam2.volume.phantom.plexuses import FLOW, paint_fine
from napari_octa_sam2.volume.phantom.records import (
    CODES,
    Centreline,
    Phantom,
    PhantomConfig,
)
from napari_octa_sam2.volume.phantom.retina import SmoothField, draw_surfaces


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
    extent = config.depth * config.spacing[0]
    whole = config.depth_mm is None
    surfaces = draw_surfaces(rng, eye.axis, eye.rim, extent, whole)
    points = _place(rng, eye, surfaces)
    shape = (config.depth, config.size, config.size)
    segment = paint_segments(eye, points, shape, config.spacing)
    dtype = np.uint8 if len(eye.classes) < 255 else np.uint16
    objects = np.append(0, eye.object[eye.ends]).astype(dtype)[segment]
    flow, flat = paint_fine(rng, config, eye, surfaces, points)
    outline = eye.rim.beyond(eye.axis[:, None], eye.axis[None]) < 0
    classes = _classify(config, eye, surfaces, objects, flow, outline)
    vessels = objects > 0
    bright = FLOW * rng.uniform(0.85, 1.2) * np.sqrt(eye.brightness[eye.ends])
    flow[vessels] = bright[segment[vessels] - 1]
    image = scan(rng, config, eye, surfaces, flow, vessels)
    return Phantom(
        volume=_volume(config, eye, image, objects, classes),
        centrelines=_centrelines(eye, points),
        surfaces=(surfaces / config.spacing[0]).astype(np.float32),
        classes=classes,
        projections=project(image, config.depths, surfaces),
        masks=_masks(eye, objects, flat, outline),
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
    # Twigs sink towards the capillaries.
    share += 0.25 * np.clip(1 - trees.radius / 0.008, 0, 1)
    below = np.maximum(eye.radius + 0.004, share * (ipl - ilm))
    return np.column_stack([ilm + below, trees.position])


def _classify(
    config: PhantomConfig,
    eye: Eye,
    surfaces: np.ndarray,
    objects: np.ndarray,
    flow: np.ndarray,
    outline: np.ndarray,
) -> np.ndarray:
    """Return the class of each voxel; large vessels come before all others."""
    kinds = np.array([0, *(CODES[c] for c in eye.classes.values())], np.uint8)
    classes: np.ndarray = kinds[objects]
    for k, depth in enumerate(config.depths.ravel()):
        free = classes[k] == 0
        faz = outline & (depth >= surfaces[0]) & (depth <= surfaces[2])
        classes[k][free & (flow[k] > 0)] = CODES["capillary"]
        classes[k][free & faz] = CODES["FAZ"]
    return classes


def _masks(
    eye: Eye, objects: np.ndarray, fine: np.ndarray, outline: np.ndarray
) -> dict[str, np.ndarray]:
    ids = {
        cls: [n for n, c in eye.classes.items() if c == cls]
        for cls in ("artery", "vein")
    }
    large = objects.any(0)
    return {
        "RV": large,
        "artery": np.any(np.isin(objects, ids["artery"]), axis=0),
        "vein": np.any(np.isin(objects, ids["vein"]), axis=0),
        "FAZ": outline & ~large,
        "capillary": fine & ~large & ~outline,
        "vessel": large | (fine & ~outline),
    }


def _volume(
    config: PhantomConfig,
    eye: Eye,
    image: np.ndarray,
    objects: np.ndarray,
    classes: np.ndarray,
) -> OctaVolume:
    last = len(eye.classes) + 1
    labels = LabelSet(
        np.where(classes == CODES["FAZ"], objects.dtype.type(last), objects),
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
        Centreline(points[c], eye.radius[c], int(eye.object[c[-1]]))
        for c in chains(eye.trees.parent, eye.object)
    )
