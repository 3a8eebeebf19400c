"""From the pixels of a centre line to its branches, without spurs.

The pixel graph and the walk along it are those of skan (Nunez-Iglesias et al., PeerJ
2018), which joins the pixels of a junction by a tree, so that corners make no loops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_octa_sam2.metrics.biomarkers.diameter import inscribed_radii

SPUR = 1.5  # radii of a vessel that a branch has to leave it by, and a voxel


@dataclass(frozen=True, eq=False)
class Traces:
    """Branches of a centre line as chains of voxels.

    Parameters
    ----------
    voxels : numpy.ndarray
        Shape ``(voxels, ndim)``: indices of the voxels of the centre line.
    chains : numpy.ndarray of int
        Rows of `voxels`, branch after branch, each with both of its ends.
    starts : numpy.ndarray of int
        Where each branch begins in `chains`, and the number of chained voxels last.
    degrees : numpy.ndarray of int
        Number of neighbours of each voxel: 1 at an end, more than 2 at a junction.
    junctions : numpy.ndarray of int
        Which junction each voxel belongs to; -1 for none.
    """

    voxels: np.ndarray
    chains: np.ndarray
    starts: np.ndarray
    degrees: np.ndarray
    junctions: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The voxel that each branch begins with."""
        first: np.ndarray = self.chains[self.starts[:-1]]
        return first

    @property
    def last(self) -> np.ndarray:
        """The voxel that each branch ends with."""
        last: np.ndarray = self.chains[self.starts[1:] - 1]
        return last


def trace(skeleton: np.ndarray, mask: np.ndarray, size: np.ndarray) -> Traces:
    """Return the branches of a centre line, spurs pruned and junctions merged.

    A spur is an end branch that hardly leaves the vessel it sits on: its end is
    nearer to the junction than 1.5 radii of the largest disc or ball around the
    junction in the mask, and one voxel. The shortest at each junction goes first,
    and what it leaves is looked at again. Junction voxels that touch, or that a
    branch joins which those discs cover, are one junction: where vessels cross, a
    skeleton forks twice.

    Parameters
    ----------
    skeleton, mask : numpy.ndarray of bool
        Of equal shape, in two or three dimensions.
    size : numpy.ndarray
        Of a voxel, along each axis.
    """
    graph, voxels = _pixel_graph(skeleton)
    junction = np.flatnonzero(np.diff(graph.indptr) > 2)
    radii = np.zeros(len(voxels))
    radii[junction] = inscribed_radii(mask, voxels[junction], size)
    while True:
        traces = _walk(graph, voxels)
        spurs = _spurs(traces, radii, size)
        if not spurs.size:
            return _with_short_bridges_closed(traces, radii, size)
        gone = np.zeros(len(voxels), bool)
        for spur in spurs:
            gone[traces.chains[traces.starts[spur] : traces.starts[spur + 1]]] = True
        gone &= traces.degrees <= 2
        graph, voxels, radii = graph[~gone][:, ~gone], voxels[~gone], radii[~gone]


def _pixel_graph(skeleton: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the graph of neighbours, as a sparse matrix, and the voxels' indices."""
    from scipy.sparse import csr_matrix
    from skan.csr import skeleton_to_csgraph

    if not skeleton.any():
        return csr_matrix((0, 0)), np.empty((0, skeleton.ndim), int)
    graph, voxels = skeleton_to_csgraph(skeleton)
    return graph, np.transpose(voxels)


def _walk(graph: Any, voxels: np.ndarray) -> Traces:
    from scipy.sparse.csgraph import connected_components
    from skan.csr import PathGraph

    degrees = np.diff(graph.indptr)
    junctions = np.full(len(voxels), -1)
    # skan 0.13 has no room for a ring of three pixels alone, as a spur can leave it
    is_triangle = graph.nnz == 6 and (degrees[degrees > 0] == 2).all()
    if not graph.nnz or is_triangle:
        return Traces(voxels, np.empty(0, int), np.zeros(1, int), degrees, junctions)
    paths = PathGraph.from_graph(adj=graph, node_coordinates=voxels).paths
    chains = paths.indices.astype(int)
    starts = paths.indptr.astype(int)
    hubs = np.flatnonzero(degrees > 2)
    junctions[hubs] = connected_components(graph[hubs][:, hubs], directed=False)[1]
    return _without_inner_branches(Traces(voxels, chains, starts, degrees, junctions))


def _without_inner_branches(traces: Traces) -> Traces:
    """Drop the steps within a junction, and corners that touch it twice."""
    points = np.diff(traces.starts)
    first, last = traces.junctions[traces.first], traces.junctions[traces.last]
    inner = (first == last) & (first >= 0) & (points <= 3)
    return _selected(traces, ~inner, traces.junctions)


def _selected(traces: Traces, kept: np.ndarray, junctions: np.ndarray) -> Traces:
    points = np.diff(traces.starts)
    chains = traces.chains[np.repeat(kept, points)]
    starts = np.concatenate([[0], np.cumsum(points[kept])])
    return Traces(traces.voxels, chains, starts, traces.degrees, junctions)


def _spurs(traces: Traces, radii: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the shortest spur of each junction that has one."""
    ends = np.stack([traces.first, traces.last])
    degrees, hub = traces.degrees[ends], traces.junctions[ends].max(axis=0)
    offsets = (traces.voxels[ends[0]] - traces.voxels[ends[1]]) * size
    reach = np.linalg.norm(offsets, axis=1)
    is_spur = (degrees.min(axis=0) == 1) & (hub >= 0)
    is_spur &= reach < SPUR * radii[ends].max(axis=0) + size.max()
    spurs = np.flatnonzero(is_spur)
    spurs = spurs[np.argsort(reach[spurs], kind="stable")]
    _, shortest = np.unique(hub[spurs], return_index=True)
    return spurs[shortest]


def _with_short_bridges_closed(
    traces: Traces, radii: np.ndarray, size: np.ndarray
) -> Traces:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    found = int(traces.junctions.max(initial=-1)) + 1
    if not found:
        return traces
    ends = np.stack([traces.first, traces.last])
    first, last = traces.junctions[ends]
    lengths = chain_lengths(traces.voxels[traces.chains] * size, traces.starts)
    short = (first >= 0) & (last >= 0) & (lengths < radii[ends].sum(axis=0))
    bridges = (np.ones(short.sum()), (first[short], last[short]))
    _, merged = connected_components(coo_matrix(bridges, (found, found)))
    merged = np.append(merged, -1)[traces.junctions]
    return _selected(traces, ~(short & (first != last)), merged)


def chain_lengths(points: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the length of each polyline of consecutive points.

    Parameters
    ----------
    points : numpy.ndarray
        Shape ``(points, ndim)``.
    starts : numpy.ndarray of int
        Where each polyline begins, and the number of points last.
    """
    along = np.zeros(len(points) + 1)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along[1:-1] = np.cumsum(steps)
    lengths: np.ndarray = along[starts[1:] - 1] - along[starts[:-1]]
    return lengths
