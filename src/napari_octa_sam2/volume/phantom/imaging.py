"""The image of a phantom: flow seen by a scanner, and its projections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_octa_sam2.volume.phantom import scanner
from napari_octa_sam2.volume.phantom.anatomy import Eye
from napari_octa_sam2.volume.phantom.records import PhantomConfig


def scan(
    rng: np.random.Generator,
    config: PhantomConfig,
    eye: Eye,
    surfaces: np.ndarray,
    flow: np.ndarray,
) -> np.ndarray:
    """Return the 8-bit image of the flow.

    Parameters
    ----------
    rng : numpy.random.Generator
    config : PhantomConfig
    eye : Eye
    surfaces : numpy.ndarray
        Shape ``(6, slow, fast)``, in mm.
    flow : numpy.ndarray
        float32, shape ``(depth, slow, fast)``, 0 to 1.
    """
    bad = 1 - config.quality
    axial = 0.010 / config.spacing[0]
    flow = ndimage.gaussian_filter(flow, (axial, 0.5, 0.5), truncate=2.5)
    flow = scanner.project_down(flow, float(np.exp(-config.spacing[0] / 0.25)))
    still, shown = _tissue(config, surfaces)
    flow = shown * (flow + still * (1 + bad))
    light = scanner.vignette(rng, eye.axis, config.quality)
    gain, added = scanner.motion_gain(rng, config.size, config.quality)
    flow *= (light * gain).astype(np.float32)
    flow += (added * 0.3).astype(np.float32) * shown
    flow *= scanner.speckle(rng, flow.shape, 4 - 2 * bad)
    noise = np.abs(rng.standard_normal(flow.shape, np.float32))
    flow += (0.004 + 0.02 * bad) * noise
    return scanner.to_uint8(scanner.shift_lines(rng, flow, config.quality), 1.75)


def _tissue(
    config: PhantomConfig, surfaces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the decorrelation of static tissue and how bright each layer is.

    Vitreous, ILM to IPL, IPL to OPL, outer nuclear layer, photoreceptors, retinal
    pigment epithelium, choroid: signal, also that of projections, needs light.
    """
    still = np.array([0, 0.07, 0.08, 0.05, 0.05, 0.06, 0.08], np.float32)
    shown = np.array([0.02, 1, 0.9, 0.35, 0.8, 1.0, 0.4], np.float32)
    z = config.depths
    layer = np.zeros((config.depth, config.size, config.size), np.intp)
    for surface in surfaces:
        layer += z >= surface
    soft = ndimage.gaussian_filter1d(shown[layer], 0.008 / config.spacing[0], axis=0)
    return still[layer], soft


def project(
    image: np.ndarray, z: np.ndarray, surfaces: np.ndarray
) -> dict[str, np.ndarray]:
    """Return 8-bit projections, whose brightest 3 % are white.

    "FULL" is the mean of all slices, "ILM_OPL" and "OPL_BM" the maximum between
    these surfaces; `z` is the depth of each slice, in mm.
    """
    inner = (z >= surfaces[0]) & (z <= surfaces[2])
    outer = (z > surfaces[2]) & (z <= surfaces[5])
    flat = {
        "FULL": image.mean(0, dtype=np.float32),
        "ILM_OPL": np.where(inner, image, 0).max(0),
        "OPL_BM": np.where(outer, image, 0).max(0),
    }
    return {
        name: scanner.to_uint8(
            p.astype(np.float32), max(float(np.percentile(p, 97)), 1.0)
        )
        for name, p in flat.items()
    }
