"""Persistent homology: a loss of the number and the contrast of separate objects."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.errors import TrainingError


def loops(image: Tensor) -> Tensor:
    """Return the dimension-1 persistence diagram of an image's sublevel sets.

    Pixels are the top-dimensional cells of a cubical complex. The loops in what is
    darker than a threshold run around bright objects (4-connected, clear of the
    image's border): such a loop is born at the pass to the next brighter object, and
    dies at the peak.

    Parameters
    ----------
    image : Tensor
        Shape ``(rows, columns)``.

    Returns
    -------
    Tensor
        Birth and death, shape ``(points, 2)``; each is the value of one pixel, to
        which its gradient goes. In a plane no loop lives for ever.

    Raises
    ------
    TrainingError
        If gudhi is not installed.
    """
    try:
        import gudhi
    except ImportError as error:
        raise TrainingError(
            "The homology loss needs the package gudhi, which was not found. "
            "Install it (pip install gudhi), or leave the loss out."
        ) from error
    # gudhi counts cells along the first axis first
    cells = image.detach().cpu().double().numpy().T
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=cells)
    complex_.compute_persistence()
    mortal, _ = complex_.cofaces_of_persistence_pairs()
    pairs = mortal[1] if len(mortal) > 1 else np.empty((0, 2), int)
    return image.flatten()[torch.as_tensor(pairs, device=image.device)]


def _matching(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return which points of two diagrams are matched; the others go to the diagonal.

    Matching a pair saves both of its ways to the diagonal: the cheapest of all
    partial matchings is an assignment by what is saved, less what saves nothing.
    """
    from scipy.optimize import linear_sum_assignment

    x, y = (d.detach().cpu().double().numpy() for d in (a, b))
    between = np.abs(x[:, None] - y[None]).max(-1) ** 2
    to_diagonal = [((d[:, 1] - d[:, 0]) / 2) ** 2 for d in (x, y)]
    saved = to_diagonal[0][:, None] + to_diagonal[1] - between
    rows, columns = linear_sum_assignment(saved.clip(min=0), maximize=True)
    worth = saved[rows, columns] > 0
    return rows[worth], columns[worth]


def wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """Return the 2-Wasserstein distance of two persistence diagrams.

    ``(min over matchings of sum(cost²))^(1/2)``. The cost of two points is
    ``max(|birth - birth'|, |death - death'|)``, that of a point without partner its
    distance to the diagonal in the same metric, ``(death - birth) / 2``.

    Parameters
    ----------
    a, b : Tensor
        Birth and death, finite, shapes ``(points, 2)``.

    Returns
    -------
    Tensor
        Scalar. The gradient is that of the best matching held fixed; 0 at 0.
    """
    rows, columns = (torch.as_tensor(i, device=a.device) for i in _matching(a, b))
    left = torch.ones(len(a), dtype=torch.bool, device=a.device)
    right = torch.ones(len(b), dtype=torch.bool, device=b.device)
    left[rows], right[columns] = False, False
    alone = torch.cat([a[left], b[right]])
    costs = [(a[rows] - b[columns]).abs().amax(-1), (alone[:, 1] - alone[:, 0]) / 2]
    distance: Tensor = torch.linalg.vector_norm(torch.cat(costs))
    return distance


def homology_loss(logits: Tensor, truth: Tensor, side: int = 50) -> Tensor:
    """Return the distance of the persistence diagrams of prediction and truth.

    Both are resized to `side` x `side` (bilinear, corners aligned); their `loops` are
    compared by `wasserstein`. It grows where a vessel is broken into pieces and where
    there are specks; holes, and what touches the border, do not enter, so it serves
    beside a loss of overlap. Computed on the CPU, mask by mask.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``; their sigmoid is compared.
    truth : Tensor
        Covered share of each pixel, 0 to 1, same shape.
    side : int
        Rows and columns of the compared images: the effort grows steeply with it.

    Returns
    -------
    Tensor
        Shape ``(n,)``.

    Raises
    ------
    TrainingError
        If gudhi is not installed, or a value is not finite.

    References
    ----------
    Hu et al., Topology-preserving deep image segmentation, NeurIPS 2019; Hofer et
    al., Deep learning with topological signatures, NeurIPS 2017.
    """
    masks = torch.stack([logits.sigmoid(), truth], 1)
    if not masks.isfinite().all():
        raise TrainingError(
            "The homology loss needs finite logits and truth, and found others. "
            "If training diverged, lower the learning rate."
        )
    resized = F.interpolate(masks, (side, side), mode="bilinear", align_corners=True)
    losses = [wasserstein(loops(p), loops(g)) for p, g in resized]
    return torch.stack(losses) if losses else logits.sum((-2, -1))
