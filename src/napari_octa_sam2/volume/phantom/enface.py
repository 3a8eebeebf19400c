"""En-face phantoms drawn directly in the plane: fast enough to train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from napari_octa_sam2.volume.phantom.anatomy import Eye, draw_eye, paint_segments
from napari_octa_sam2.volume.phantom.capillaries import draw_mesh
from napari_octa_sam2.volume.phantom.imaging import develop
from napari_octa_sam2.volume.phantom.records import PhantomConfig
from napari_octa_sam2.volume.phantom.retina import SmoothField

ROUGH = 0.22  # share of images as of scanners with strong noise along the lines


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
        Mean diameter of the FAZ. If None, one field in 16 has no FAZ in it.
    quality : float, optional
        Scan quality from 0 to 1. What is None is drawn at random.

    Returns
    -------
    image : numpy.ndarray
        uint8, shape ``(slow, fast)``.
    masks : dict of str to numpy.ndarray
        bool: "RV" (large vessels), "artery", "vein", "FAZ", "vessel" (all vessels,
        drawn as generously as in OCTA-500) and "capillary" ("vessel" without "RV").
    instances : numpy.ndarray
        uint8 ids of the large vessels, largest vessel first; where two cross, the
        thicker wins.

    Raises
    ------
    VolumeError
        If an argument makes no sense.
    """
    rng = np.random.default_rng(seed)
    drawn = _draw_config(rng, seed, size, field_mm)
    outside = rng.random() < 1 / 16 and faz_diameter_mm is None
    config = replace(
        drawn,
        pairs=drawn.pairs if pairs is None else pairs,
        faz_diameter_mm=(
            drawn.faz_diameter_mm if faz_diameter_mm is None else faz_diameter_mm
        ),
        quality=drawn.quality if quality is None else quality,
    )
    fovea = _fovea(rng, field_mm, outside)
    eye = draw_eye(
        rng,
        size,
        field_mm,
        config.faz_diameter_mm,
        config.pairs,
        config.vessel_radius_mm,
        fovea,
    )
    step = float(eye.axis[1])
    segment = paint_segments(eye, eye.trees.position, (size, size), (step, step))
    instances = np.append(0, eye.object[eye.ends]).astype(np.uint8)[segment]
    rough = rng.random() < ROUGH
    flow, fine = _fine_vessels(rng, eye, rough)
    bright = np.append(0, eye.brightness[eye.ends])[segment]
    flow = np.maximum(flow, rng.uniform(1.1, 1.6) * bright)
    image = develop(rng, config.quality, eye, flow, rough)
    return image, _masks(eye, instances, fine), instances


def _draw_config(
    rng: np.random.Generator, seed: int, size: int, field: float
) -> PhantomConfig:
    return PhantomConfig(
        seed=seed,
        size=size,
        field_mm=field,
        pairs=int(rng.integers(2, 6)),
        faz_diameter_mm=float(np.clip(rng.lognormal(np.log(0.54), 0.32), 0.12, 1.0)),
        quality=float(rng.beta(2.2, 1.2)),
        vessel_radius_mm=float(rng.uniform(0.038, 0.056)),
    )


def _masks(eye: Eye, instances: np.ndarray, fine: np.ndarray) -> dict[str, np.ndarray]:
    large = instances > 0
    vein = np.array([0, *(c == "vein" for c in eye.classes.values())], bool)[instances]
    faz = eye.rim.beyond(eye.axis[:, None], eye.axis[None]) < 0
    return {
        "RV": large,
        "artery": large & ~vein,
        "vein": large & vein,
        "FAZ": faz & ~large,
        "capillary": fine & ~large & ~faz,
        "vessel": (fine & ~faz) | large,
    }


def _fovea(
    rng: np.random.Generator, field: float, outside: bool
) -> tuple[float, float]:
    """Return where the fovea lies, mostly near the middle."""
    if outside:
        angle = rng.uniform(0, 2 * np.pi)
        away = field * 0.71 + rng.uniform(0.6, 1.2)
        return (
            float(field / 2 + away * np.sin(angle)),
            float(field / 2 + away * np.cos(angle)),
        )
    row, col = field / 2 + np.clip(rng.normal(0, 0.2, 2), -0.8, 0.8)
    return float(row), float(col)


def _fine_vessels(
    rng: np.random.Generator, eye: Eye, rough: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow of twigs and capillaries, and where they are.

    In `rough` images twigs look wider and capillaries are hardly seen.
    """
    step = eye.axis[1]
    flow = _twigs(rng, eye)
    if rough:
        flow = ndimage.grey_dilation(flow, (2, 2)) * np.float32(rng.uniform(0.6, 1))
    hit = flow > 0
    loop = rng.uniform(0.8, 1.25)
    # Coarse sampling blurs the capillaries into the tissue.
    seen = min(1.0, 0.011 / step)
    strength = rng.uniform(0.9, 1.65) * seen**0.7 * (0.5 if rough else 1)
    widen = rng.uniform(0, 0.6)
    alive = _perfusion(rng, eye)
    for width, radius, bright, retreat in (
        (0.066, 0.007, 0.70, 0.0),
        (0.058, 0.006, 0.45, 0.03),
    ):
        spacing = max(loop * width, rng.uniform(4.2, 6) * step)
        mesh = draw_mesh(rng, eye.axis, spacing, eye.rim, retreat, widen)
        gain = bright * mesh.gain * alive
        near = mesh.distance <= max(radius, 0.58 * step)
        flow = np.where(near, np.maximum(flow, strength * gain), flow)
        hit |= near & (gain * seen > 0.25)
    return _cross_fovea(rng, eye, flow), hit


def _perfusion(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """Return the perfusion of the capillaries; in some eyes patches have little."""
    wave = SmoothField(rng, float(eye.axis[-1]), rng.uniform(0.4, 1.0))
    lack = rng.uniform(0.3, 0.9) if rng.random() < 0.25 else 0.0
    low = 1 / (1 + np.exp(6 * (wave.on_grid(eye.axis) + rng.uniform(0.3, 1.3))))
    return np.asarray(1 - lack * low)


def _cross_fovea(rng: np.random.Generator, eye: Eye, flow: np.ndarray) -> np.ndarray:
    """Draw faint capillaries across the FAZ, as few eyes have them."""
    size, rim = len(eye.axis), eye.rim
    for _ in range(rng.poisson(0.25)):
        turn = rng.uniform(0, 2 * np.pi) + np.array([0, rng.uniform(0.8, np.pi)])
        ends = np.array(rim.centre) + 1.25 * rim.radius * np.stack(
            [np.sin(turn), np.cos(turn)], 1
        )
        knot = ends.mean(0) + rng.normal(0, 0.3 * rim.radius, 2)
        t = np.linspace(0, 1, 4 * int(np.ceil(rim.radius / eye.axis[1])) + 2)[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * knot + t**2 * ends[1]
        at = np.round(curve / eye.axis[1]).astype(int)
        rows, cols = at[((at >= 0) & (at < size)).all(1)].T
        flow[rows, cols] = np.maximum(flow[rows, cols], rng.uniform(0.15, 0.45))
    return flow


def _twigs(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """Return the flow of vessels too thin to be objects, one pixel wide."""
    step, size = eye.axis[1], len(eye.axis)
    ends = eye.twigs
    starts = eye.trees.parent[ends]
    share = np.linspace(0, 1, int(np.ceil(0.16 / step)))[None, :, None]
    a, b = eye.trees.position[starts][:, None], eye.trees.position[ends][:, None]
    at = np.round((a + share * (b - a)) / step).astype(int).reshape(-1, 2)
    bright = np.repeat(1.15 * eye.brightness[ends], share.shape[1])
    inside = ((at >= 0) & (at < size)).all(1)
    order = np.argsort(bright[inside], kind="stable")
    flow = np.zeros((size, size), np.float32)
    rows, cols = at[inside][order].T
    flow[rows, cols] = bright[inside][order]
    return flow
