"""The pieces that an object falls into, and the prompts of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_octa_sam2.project.locks import mask_prompt
from napari_octa_sam2.prompts import Prompt


class Pieces:
    """What hangs together in three dimensions by faces, edges or corners.

    They are numbered from 0, the largest first.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(depth, slow, fast)``.
    """

    def __init__(self, mask: np.ndarray) -> None:
        from scipy.ndimage import generate_binary_structure, label

        found, count = label(mask, generate_binary_structure(3, 3))
        sizes = np.bincount(found.ravel(), minlength=count + 1)[1:]
        numbers = np.full(count + 1, -1, np.int32)
        numbers[np.argsort(-sizes, kind="stable") + 1] = np.arange(count)
        self._found, self._numbers = found, numbers

    def __len__(self) -> int:
        return len(self._numbers) - 1

    def on(self, index: int) -> np.ndarray:
        """Return the number of the piece in each pixel of a slice; -1 beside them."""
        numbers: np.ndarray = self._numbers[self._found[index]]
        return numbers

    def held(self, index: int) -> list[int]:
        """Return the pieces on a slice."""
        return [int(n) for n in np.unique(self.on(index)) if n >= 0]

    def slices(self) -> list[int]:
        """Return the slices that hold any."""
        return np.flatnonzero(self._found.any(axis=(1, 2))).tolist()

    def largest_slice(self, piece: int) -> int:
        """Return the slice on which a piece has most pixels."""
        number = int(np.flatnonzero(self._numbers == piece)[0])
        return int(np.count_nonzero(self._found == number, axis=(1, 2)).argmax())


def divided(
    prompts: Sequence[Prompt], pieces: Pieces, ids: Sequence[int]
) -> list[Prompt]:
    """Return the prompts of one object as those of its pieces.

    - On a slice with one piece, all are about that one.
    - On a slice with several, a prompt goes to the piece that most of it lies in, or
      with the prompt before it; then each piece is given its mask as it is shown.
    - On a slice with none they stay with the first piece; that the object is absent
      goes for all.

    Parameters
    ----------
    ids : sequence of int
        Of the objects that the pieces become.
    """
    made: list[Prompt] = []
    for index in dict.fromkeys(p.slice for p in prompts):
        here, held = pieces.on(index), pieces.held(index)
        last = held[0] if held else 0
        for prompt in (p for p in prompts if p.slice == index):
            if prompt.absent and not held:
                made += [replace(prompt, object=i) for i in ids]
                continue
            last = _most_of(prompt, here, last)
            made.append(replace(prompt, object=ids[last]))
        for piece in held if len(held) > 1 else ():
            made.append(mask_prompt(ids[piece], index, here == piece))
    return made


def _most_of(prompt: Prompt, here: np.ndarray, otherwise: int) -> int:
    """Return the piece of a slice that most of a prompt lies in."""
    mask = prompt.given((here.shape[0], here.shape[1]))
    if mask is not None:
        inside = here[mask]
    else:
        clicks = [(row, col) for row, col, positive in prompt.clicks if positive]
        at = np.array(clicks, float).reshape(-1, 2).round().astype(int)
        row, col = np.clip(at, 0, np.array(here.shape) - 1).T
        inside = here[row, col]
        if prompt.box is not None and not (inside >= 0).any():
            top, left, bottom, right = np.clip(np.round(prompt.box), 0, None).astype(
                int
            )
            inside = here[top : bottom + 1, left : right + 1].ravel()
    counts = np.bincount(inside[inside >= 0])
    return int(counts.argmax()) if len(counts) else otherwise
