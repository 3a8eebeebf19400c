"""Skeletons of masks.

3-D skeletons are computed here: the 3-D method of scikit-image (0.26) loses tubes
whose width is an even number of voxels, which most thin vessels have somewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.boxes import bounding_box


def skeletonize(mask: np.ndarray, *, slicewise: bool = False) -> np.ndarray:
    """Return the centrelines of a mask, one voxel wide.

    Parts, holes and tunnels are kept: nothing vanishes. Ends of vessels shorten by
    about their radius.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)`` or ``(depth, slow, fast)``; a single slice is thinned
        in its plane.
    slicewise : bool
        Whether to thin each slice of a volume in its plane.

    Raises
    ------
    VolumeError
        If the mask has neither two nor three dimensions.
    """
    from skimage.morphology import skeletonize as thin_plane

    if mask.ndim not in (2, 3):
        raise VolumeError(f"expected a 2-D or 3-D mask, found shape {mask.shape}")
    if slicewise and mask.ndim == 3:
        return np.stack([skeletonize(plane) for plane in mask])
    skeleton = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is None:
        return skeleton
    plane = mask[box].squeeze()
    if plane.ndim < 3:
        thinned = thin_plane(np.atleast_2d(plane))
    else:
        thinned = _thin_volume(plane)
    skeleton[box] = thinned.reshape(mask[box].shape)
    return skeleton


def _thin_volume(mask: np.ndarray) -> np.ndarray:
    """Thin by deleting simple points, one of eight subfields at a time.

    Voxels of one subfield (parity of the three indices) are no neighbours of each
    other, so deleting them together keeps the topology as one by one would. Ends
    are looked for once a round, which spares spurious branches (Németh, Kardos,
    Palágyi, Topology preserving 3D thinning algorithms using four and eight
    subfields, ICIAR 2010).
    """
    volume = np.pad(mask, 1)
    flat = volume.reshape(-1)
    strides = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
    steps = _OFFSETS @ strides
    voxels = np.flatnonzero(flat)
    while True:
        for subfield in _candidates(flat, voxels, steps, volume.shape):
            codes = _neighbourhoods(flat, subfield, steps)
            unique, where = np.unique(codes, return_inverse=True)
            flat[subfield[_is_simple(unique)[where]]] = False
        left = voxels[flat[voxels]]
        if left.size == voxels.size:
            return volume[1:-1, 1:-1, 1:-1]
        voxels = left


def _candidates(
    flat: np.ndarray, voxels: np.ndarray, steps: np.ndarray, shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """Yield the border voxels that are no ends, by subfield."""
    inner = np.ones(voxels.size, bool)
    for step in steps[_IS_FACE]:
        inner &= flat[voxels + step]
    border = voxels[~inner]
    border = border[np.bitwise_count(_neighbourhoods(flat, border, steps)) > 1]
    depth, row, col = np.unravel_index(border, shape)
    parity = depth % 2 * 4 + row % 2 * 2 + col % 2
    for subfield in range(8):
        yield border[parity == subfield]


def _neighbourhoods(
    flat: np.ndarray, voxels: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the 26 neighbours of each voxel as the bits of an integer."""
    codes = np.zeros(voxels.size, np.uint32)
    for bit, step in enumerate(steps):
        codes |= flat[voxels + step].astype(np.uint32) << np.uint32(bit)
    return codes


def _is_simple(codes: np.ndarray) -> np.ndarray:
    """Whether deleting the centre keeps the topology (Bertrand and Malandain 1994).

    It does if its 26-neighbours in the mask are one 26-connected part, and its face
    neighbours outside are joined by face steps within the 18-neighbourhood.
    """
    inside = _spread(codes & (~codes + np.uint32(1)), codes, _NEAR_26)
    background = ~codes & _WITHIN_18
    faces = background & _FACES
    outside = _spread(faces & (~faces + np.uint32(1)), background, _NEAR_6)
    one_inside = (codes != 0) & (inside == codes)
    one_outside = (faces != 0) & (outside & _FACES == faces)
    simple: np.ndarray = one_inside & one_outside
    return simple


def _spread(seeds: np.ndarray, allowed: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return what can be reached from the seed bits through allowed bits."""
    reached = seeds
    while True:
        grown = reached
        for bit, neighbours in enumerate(near):
            has_bit = (grown >> np.uint32(bit)) & np.uint32(1)
            grown = grown | (has_bit * neighbours & allowed)
        if np.array_equal(grown, reached):
            return reached
        reached = grown


def _bits(selected: np.ndarray) -> np.ndarray:
    """Pack the last axis, one entry an offset, into integers."""
    powers = np.left_shift(np.uint32(1), np.arange(len(_OFFSETS), dtype=np.uint32))
    return np.asarray(selected @ powers, np.uint32)


_OFFSETS = np.array([o for o in np.ndindex(3, 3, 3) if o != (1, 1, 1)]) - 1
_CITY_BLOCK = np.abs(_OFFSETS).sum(axis=1)
_APART = np.abs(_OFFSETS[:, None] - _OFFSETS[None])
_IS_FACE = _CITY_BLOCK == 1
_FACES = _bits(_IS_FACE)
_WITHIN_18 = _bits(_CITY_BLOCK <= 2)
_NEAR_26 = _bits(_APART.max(axis=-1) == 1)
_NEAR_6 = _bits(_APART.sum(axis=-1) == 1)
