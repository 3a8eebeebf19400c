"""Vessels of depth slices as annotators draw them."""

from __future__ import annotations

import numpy as np

ACROSS = 2  # pixels
ALONG = 0.0125  # mm


def as_drawn(labels: np.ndarray, spacing: float = 0.003125) -> np.ndarray:
    """Return labels ``(depth, slow, fast)`` as wide and deep as they are drawn.

    Annotators draw what they see on a slice, and generously: a vessel with its soft
    edge, on all slices on which it shines through; not the tube that is cut.

    Parameters
    ----------
    labels : numpy.ndarray
        Ids, or a boolean mask; an id does not grow into another one.
    spacing : float
        Distance of two slices, in mm; by default that of OCTA-500.
    """
    drawn = labels.copy()
    for axis, most in ((0, round(ALONG / spacing)), (1, ACROSS), (2, ACROSS)):
        before = drawn.copy()
        for step in range(1, most + 1):
            for shift in (step, -step):
                moved = np.roll(before, shift, axis)
                edge = slice(0, shift) if shift > 0 else slice(shift, None)
                moved[(slice(None),) * axis + (edge,)] = 0
                drawn = np.where(drawn == 0, moved, drawn)
    return drawn
