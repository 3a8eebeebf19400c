"""How many parts, tunnels and cavities a mask has.

Voxels that share a corner are connected, in the background those that share a face.
"""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.errors import VolumeError

# Rows before or after a row, as (slices, rows), one of each pair of neighbours.
_FACES = ((0, 1), (1, 0))
_CORNERS = ((0, 1), (1, -1), (1, 0), (1, 1))


def betti_numbers(mask: np.ndarray) -> tuple[int, ...]:
    """Return the Betti numbers of a mask.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)`` or ``(depth, slow, fast)``.

    Returns
    -------
    tuple of int
        Connected parts and holes of a plane; parts, tunnels and cavities of a volume.

    Raises
    ------
    VolumeError
        If the mask has neither two nor three dimensions.
    """
    if mask.ndim not in (2, 3):
        raise VolumeError(f"expected a 2-D or 3-D mask, found shape {mask.shape}")
    parts = count_parts(mask, corners=True)
    if mask.ndim == 2:
        return parts, parts - euler_number(mask)
    cavities = count_parts(~np.pad(mask, 1), corners=False) - 1
    return parts, parts + cavities - euler_number(mask), cavities


def euler_number(mask: np.ndarray) -> int:
    """Return vertices - edges + faces - cubes of the voxels of a mask.

    Of a plane, vertices - edges + faces of its pixels.
    """
    if mask.ndim == 2:
        return _plane_cells(np.pad(mask, 1))
    total = 0
    before = np.zeros(tuple(n + 2 for n in mask.shape[1:]), bool)
    for plane in [*mask, np.zeros_like(mask[0])]:
        here = np.pad(plane, 1)
        # Cells between two slices, then those inside this one.
        total += _plane_cells(here | before) - _plane_cells(here)
        before = here
    return total


def count_parts(mask: np.ndarray, *, corners: bool) -> int:
    """Count the connected parts of a 2-D or 3-D mask.

    Parameters
    ----------
    mask : numpy.ndarray of bool
    corners : bool
        Whether sharing a corner connects; else only sharing a face.
    """
    from scipy.ndimage import generate_binary_structure, label

    if mask.ndim == 3:
        return _count_by_runs(mask, corners)
    _, count = label(mask, generate_binary_structure(2, 2 if corners else 1))
    return int(count)


def _count_by_runs(mask: np.ndarray, corners: bool) -> int:
    """Count the parts of a volume as those of a graph.

    Its nodes are the runs of voxels along the last axis: vessels are few of them,
    which is several times faster and smaller than labelling every voxel.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # An empty column before each row, an empty row behind each slice: no run reaches
    # the next one.
    volume = np.pad(mask, ((0, 0), (0, 1), (1, 0)))
    _, rows, length = volume.shape
    flat = volume.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = edges[0::2], edges[1::2]
    pairs = [
        _touching(starts, ends, (slices * rows + row) * length, int(corners))
        for slices, row in (_CORNERS if corners else _FACES)
    ]
    one, other = np.concatenate(pairs, axis=1)
    size = (starts.size, starts.size)
    graph = coo_array((np.ones(one.size, bool), (one, other)), shape=size)
    return int(connected_components(graph, directed=False, return_labels=False))


def _touching(
    starts: np.ndarray, ends: np.ndarray, offset: int, reach: int
) -> np.ndarray:
    """Return the pairs of runs that touch where the second ones lie `offset` on."""
    first = np.searchsorted(ends, starts + (offset - reach), side="right")
    last = np.searchsorted(starts, ends + (offset + reach), side="left")
    counts = np.maximum(last - first, 0)
    one = np.repeat(np.arange(starts.size), counts)
    before = np.repeat(np.cumsum(counts) - counts - first, counts)
    return np.stack([one, np.arange(one.size) - before])


def _plane_cells(plane: np.ndarray) -> int:
    """Return vertices - edges + faces of the closed pixels of a padded plane."""
    across = plane[1:] | plane[:-1]
    along = plane[:, 1:] | plane[:, :-1]
    corners = across[:, 1:] | across[:, :-1]
    vertices, *edges, faces = map(np.count_nonzero, (corners, across, along, plane))
    return int(vertices - sum(edges) + faces)
