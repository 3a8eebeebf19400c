"""The image of a phantom: flow seen by a scanner, and its projections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_octa_sam2.volume.phantom import scanner
from napari_octa_sam2.volume.phantom.anatomy import Eye
from napari_octa_sam2.volume.phantom.records import PhantomConfig
from napari_octa_sam2.volume.phantom.retina import SmoothField

AXIAL = 0.011  # mm, axial blur
REACH = 0.016  # mm, depth over which speckle changes
TAIL = 0.04  # mm, in which the projection of a vessel fades
SOFT = 0.016  # mm, in which one layer turns into the next
WHITE = 1.75  # flow that is shown as 255
# Vitreous, ILM to IPL, IPL to OPL, outer nuclear layer, photoreceptors, retinal
# pigment epithelium, choroid: signal without vessels, how well flow shows, and how
# well the squared flow of all layers above is echoed.
STILL = np.array([0.0, 0.03, 0.05, 0.045, 0.055, 0.07, 0.13], np.float32)
SHOWN = np.array([0.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.3], np.float32)
ECHO = np.array([0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 0.2], np.float32)
# Share of the capillaries that are too close to be told apart.
DENSE = np.array([0.0, 0.3, 1.0, 0.0, 0.0, 0.0, 0.0], np.float32)


def scan(
    rng: np.random.Generator,
    config: PhantomConfig,
    eye: Eye,
    surfaces: np.ndarray,
    flow: np.ndarray,
    vessels: np.ndarray,
) -> np.ndarray:
    """Return the 8-bit image of the flow, slice by slice as light goes down.

    Parameters
    ----------
    rng : numpy.random.Generator
    config : PhantomConfig
    eye : Eye
    surfaces : numpy.ndarray
        Shape ``(6, slow, fast)``, in mm.
    flow : numpy.ndarray
        float32, shape ``(depth, slow, fast)``, 0 to 1; changed in place.
    vessels : numpy.ndarray
        bool, same shape: large vessels, which cast shadows.
    """
    bad, step = 1 - config.quality, config.spacing[0]
    if step < 2.5 * AXIAL:
        sigma = AXIAL / step
        ndimage.gaussian_filter1d(flow, sigma, axis=0, output=flow, truncate=2)
    light, added = _light(rng, config, eye)
    still = STILL * rng.uniform(0.7, 1.3, len(STILL)) * (1 + 0.7 * bad)
    tables = np.stack([still, SHOWN, ECHO, DENSE]).astype(np.float32)
    haze = _haze(rng, eye)
    speckle = scanner.AxialSpeckle(rng, flow.shape, REACH / step, 0.75)
    spread = np.float32(rng.uniform(0.12, 0.2) + 0.06 * bad)
    black = np.float32(rng.uniform(0, 0.02))
    passed = np.float32(np.exp(-rng.uniform(9, 25) * step))
    fade = np.float32(np.exp(-step / TAIL))
    tail, cast = np.zeros((2, *flow.shape[1:]), np.float32)
    through = np.ones_like(flow[0])
    depths = (surfaces / SOFT - 0.5).astype(np.float32)
    image = np.empty(flow.shape, np.uint8)
    for k, plane in enumerate(flow):
        plane = _blur(plane)
        tail, cast = np.maximum(plane, fade * tail), np.maximum(plane, cast)
        noise = np.exp(spread * speckle.at(k))
        floor, shown, echo, dense = _layers(k * step / SOFT, depths, tables)
        floor += dense * haze
        seen = (shown * tail + echo * cast**2 + floor * noise**2) * noise
        seen += shown * added
        seen *= light * np.where(vessels[k], 1, through)
        image[k] = scanner.to_uint8(np.maximum(seen - black, 0), WHITE)
        through[vessels[k]] *= passed
    return scanner.shift_lines(rng, image, config.quality)


def _light(
    rng: np.random.Generator, config: PhantomConfig, eye: Eye
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gain of each A-scan and what motion adds to it."""
    light = scanner.vignette(rng, eye.axis, config.quality)
    light = light * scanner.shadows(rng, eye.axis, config.quality)
    gain, added = scanner.motion_gain(rng, config.size, config.quality)
    light = light * gain * rng.uniform(0.75, 1.3)
    return light.astype(np.float32), (0.3 * added).astype(np.float32)


def _haze(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    beyond = eye.rim.beyond(eye.axis[:, None], eye.axis[None])
    haze = rng.uniform(0.04, 0.1) / (1 + np.exp(-(beyond - 0.04) / 0.03))
    return np.asarray(haze, np.float32)


def _blur(plane: np.ndarray) -> np.ndarray:
    if not plane.any():
        return plane
    return np.asarray(ndimage.gaussian_filter(plane, 0.55, truncate=2.5))


def _layers(depth: float, surfaces: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Return what each of the `tables` has for the layer that lies at a depth.

    Depths are in units of `SOFT`: over one unit a layer turns into the next.
    """
    found = np.empty((len(tables), *surfaces.shape[1:]), np.float32)
    found[:] = tables[:, :1, None]
    for above, surface in enumerate(surfaces):
        part = np.clip(np.float32(depth) - surface, 0, 1)
        if part.any():
            change = tables[:, above + 1] - tables[:, above]
            found += part * change[:, None, None]
    return found


def project(
    image: np.ndarray, z: np.ndarray, surfaces: np.ndarray
) -> dict[str, np.ndarray]:
    """Return 8-bit projections, whose brightest 1 % are white.

    "FULL" is the mean of all slices, "ILM_OPL" and "OPL_BM" the maximum between
    these surfaces; `z` is the depth of each slice, in mm.
    """
    inner, outer = np.zeros((2, *image.shape[1:]), np.uint8)
    for depth, plane in zip(z.ravel(), image, strict=True):
        above = depth <= surfaces[2]
        np.maximum(inner, plane * (above & (depth >= surfaces[0])), out=inner)
        np.maximum(outer, plane * (~above & (depth <= surfaces[5])), out=outer)
    flat = {"FULL": image.mean(0), "ILM_OPL": inner, "OPL_BM": outer}
    return {
        name: scanner.to_uint8(
            p.astype(np.float32), max(float(np.percentile(p, 99)), 1.0)
        )
        for name, p in flat.items()
    }


def develop(
    rng: np.random.Generator,
    quality: float,
    eye: Eye,
    flow: np.ndarray,
    rough: bool = False,
) -> np.ndarray:
    """Return the 8-bit en-face image of the flow, shape ``(slow, fast)``.

    A `rough` image is uneven, hard in contrast and noisy along the lines.
    """
    bad, axis = 1 - quality, eye.axis
    blur = rng.uniform(0.42, 0.62) + (0.7 * bad * rng.random()) ** 2
    flow = ndimage.gaussian_filter(flow, blur, truncate=3)
    grain = rng.uniform(0.55, 0.72)
    along = grain * (rng.uniform(1.2, 2.4) if rough else rng.uniform(1, 1.4))
    floor = _tissue(rng, eye) * rng.uniform(0.6, 1.4)
    looks = rng.uniform(1.2, 2.4) if rough else rng.uniform(2.5, 6)
    floor = floor * scanner.speckle(rng, flow.shape, looks, (grain, along))
    image = (flow + floor) * _unevenness(rng, eye, rough)
    image *= scanner.vignette(rng, axis, quality) * scanner.shadows(rng, axis, quality)
    gain, added = scanner.motion_gain(rng, len(axis), quality)
    image = image * gain + added + rng.uniform(0.02, 0.05) + 0.12 * bad * rng.random()
    looks = 1 / (rng.uniform(0.08, 0.18) + 0.18 * bad) ** 2
    fine = grain - 0.15, along - 0.15
    image *= scanner.speckle(rng, image.shape, looks, fine)
    image = scanner.shift_lines(rng, image, quality)
    dark, white = 0.2, rng.uniform(98.5, 99.3)
    if rough or rng.random() < 0.1:
        dark, white = rng.uniform(1, 8), rng.uniform(96.5, 98.5)
    low, high = np.percentile(image, [dark, white])
    low *= rng.uniform(0.3, 1.0)
    image = np.maximum(image - low, 0)
    return scanner.to_uint8(image, float(high - low), rng.uniform(0.8, 1.05))


def _unevenness(rng: np.random.Generator, eye: Eye, rough: bool) -> np.ndarray:
    """Return a slowly varying gain; `rough` scans are darker round the fovea."""
    axis, side = eye.axis, float(eye.axis[-1])
    waves = 0.05 * SmoothField(rng, side, 0.5).on_grid(axis)
    waves += 0.06 * SmoothField(rng, side, 1.6).on_grid(axis)
    waves *= rng.uniform(0.1, 1.1)
    if rough:
        y, x = axis[:, None] - eye.rim.centre[0], axis[None] - eye.rim.centre[1]
        dark = np.exp(-(y**2 + x**2) / (0.25 * side) ** 2)
        wide = SmoothField(rng, side, 0.35 * side).on_grid(axis)
        waves += rng.uniform(0.05, 0.35) * wide - rng.uniform(0, 0.9) * dark
    return np.asarray(np.exp(waves))


def _tissue(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """Return the unresolved flow, less towards the fovea."""
    beyond = eye.rim.beyond(eye.axis[:, None], eye.axis[None])
    soft = rng.uniform(0.02, 0.09)
    inner = rng.uniform(0.02, 0.25) if rng.random() < 0.85 else rng.uniform(0.25, 0.8)
    shift = rng.uniform(-0.5, 0.5) * soft
    rise = 1 / (1 + np.exp(-(beyond - shift) / soft))
    dip = 1 - rng.uniform(0, 0.4) * np.exp(-((np.maximum(beyond, 0) / 0.4) ** 2))
    return np.asarray(0.27 * (inner + (1 - inner) * rise) * dip)
