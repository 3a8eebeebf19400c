"""En-face phantoms drawn directly in the plane: fast enough to train on."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_octa_sam2.volume.phantom import scanner
from napari_octa_sam2.volume.phantom.anatomy import Eye, draw_eye
from napari_octa_sam2.volume.phantom.capillaries import draw_mesh
from napari_octa_sam2.volume.phantom.records import PhantomConfig
from napari_octa_sam2.volume.phantom.retina import SmoothField
from napari_octa_sam2.volume.phantom.tubes import paint_tubes


def make_enface(
    seed: int,
    size: int = 304,
    field_mm: float = 3.0,
    *,
    pairs: int | None = None,
    faz_diameter_mm: float | None = None,
    quality: float | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return a synthetic en-face projection from the ILM to the OPL.

    Parameters
    ----------
    seed : int
        Equal arguments give equal images.
    size : int
        Rows and columns.
    field_mm : float
        Side of the field, in mm.
    pairs : int, optional
        Artery and vein pairs that leave the optic disc.
    faz_diameter_mm : float, optional
        Mean diameter of the FAZ.
    quality : float, optional
        Scan quality from 0 to 1. What is None is drawn at random.

    Returns
    -------
    image : numpy.ndarray
        uint8, shape ``(slow, fast)``.
    masks : dict of str to numpy.ndarray
        bool: "RV", "artery", "vein", "FAZ" and "capillary" (all vessels).
    instances : numpy.ndarray
        uint8 ids of the large vessels, largest vessel first; where two cross, the
        thicker wins.

    Raises
    ------
    VolumeError
        If an argument makes no sense.
    """
    rng = np.random.default_rng(seed)
    drawn = (
        int(rng.integers(3, 6)),
        float(np.clip(rng.normal(0.5, 0.14), 0.2, 0.9)),
        float(rng.uniform(0.3, 1)),
        float(rng.uniform(0.036, 0.056)),
    )
    config = PhantomConfig(
        seed=seed,
        size=size,
        field_mm=field_mm,
        pairs=drawn[0] if pairs is None else pairs,
        faz_diameter_mm=drawn[1] if faz_diameter_mm is None else faz_diameter_mm,
        quality=drawn[2] if quality is None else quality,
        vessel_radius_mm=drawn[3],
    )
    eye = draw_eye(rng, size, field_mm, config.faz_diameter_mm, config.pairs, drawn[3])
    instances = _paint(eye, size)
    flow, plexus = _plexuses(rng, eye)
    vessels = instances > 0
    kind = np.array([0, *(c == "vein" for c in eye.classes.values())], bool)[instances]
    masks = {
        "RV": vessels,
        "artery": vessels & ~kind,
        "vein": vessels & kind,
        "FAZ": eye.rim.beyond(eye.axis[:, None], eye.axis[None]) < 0,
        "capillary": vessels | plexus,
    }
    flow[vessels] = 1.05
    image = _develop(rng, config.quality, eye.axis, flow, masks["FAZ"])
    return image, masks, instances


def _paint(eye: Eye, size: int) -> np.ndarray:
    instances = np.zeros((size, size), np.uint8)
    ends = eye.ends
    starts = eye.trees.parent[ends]
    paint_tubes(
        instances,
        (eye.axis[1], eye.axis[1]),
        eye.trees.position[starts],
        eye.trees.position[ends],
        np.stack([eye.trees.radius[starts], eye.trees.radius[ends]], 1),
        eye.object[ends],
    )
    return instances


def _plexuses(rng: np.random.Generator, eye: Eye) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow of the capillaries, and where the superficial ones are."""
    step = eye.axis[1]
    flow = np.zeros((len(eye.axis), len(eye.axis)), np.float32)
    for loop, radius, bright, retreat in (
        (0.065, 0.009, 0.45, 0.03),
        (0.075, 0.010, 0.6, 0.0),
    ):
        mesh = draw_mesh(rng, eye.axis, max(loop, 4 * step), eye.rim, retreat)
        hit = mesh.distance <= max(radius, 0.6 * step)
        flow = np.where(hit, np.maximum(flow, bright * mesh.gain), flow)
    return flow, hit


def _develop(
    rng: np.random.Generator,
    quality: float,
    axis: np.ndarray,
    flow: np.ndarray,
    outline: np.ndarray,
) -> np.ndarray:
    """Return the 8-bit image of the flow."""
    bad = 1 - quality
    flow = ndimage.gaussian_filter(flow, 0.5 + 0.2 * rng.random(), truncate=3)
    patches = SmoothField(rng, float(axis[-1]), 0.5).on_grid(axis)
    floor = ndimage.gaussian_filter(np.where(outline, 0.08, 0.27), 0.07 / axis[1])
    floor = floor * rng.uniform(0.7, 1.3)
    image = (flow + floor) * (1 + 0.08 * patches)
    gain, added = scanner.motion_gain(rng, len(axis), quality)
    image = image * scanner.vignette(rng, axis, quality) * gain + added
    image = image * scanner.speckle(rng, image.shape, 9 - 5 * bad)
    image = scanner.shift_lines(rng, image + 0.05 * bad, quality)
    low, high = np.percentile(image, [0.5, rng.uniform(96.5, 99)])
    return scanner.to_uint8(image - low, float(high - low), rng.uniform(0.7, 1.05))
