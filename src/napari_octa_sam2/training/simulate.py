"""A simulated annotator: clicks and boxes from masks, corrections from errors.

All functions are batched over objects; masks are boolean ``(objects, rows, columns)``,
points ``(objects, points, 2)`` as (x, y) in pixels of the masks, labels
``(objects, points)`` with 1 positive, 0 negative, 2 and 3 box corners, class prompts
as `model.prompt_encoder` has them, -1 padding.

What an object gets depends on its own mask and generator alone, and the number of
points, padding included, on the settings alone: a batch can be split over processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import (
    binary_dilation,
    convolve,
    distance_transform_cdt,
    find_objects,
    label,
)
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.metrics.segmentation.clicks import (
    Click,
    deepest_pixel,
    next_click,
)
from napari_octa_sam2.model.prompt_encoder import BOX_END, BOX_START, FIRST_CLASS
from napari_octa_sam2.training.config import PromptConfig, PromptKind

Points = tuple[Tensor, Tensor]
Pixels = list[tuple[int, int]]
Window = tuple[slice, slice]
PADDING = -1
EIGHT_CONNECTED = np.ones((3, 3), bool)


class KeyPoints(NamedTuple):
    """(row, column) of the ends, bifurcations and crossings of a skeleton."""

    ends: np.ndarray
    bifurcations: np.ndarray
    crossings: np.ndarray


def first_clicks(
    masks: Tensor,
    config: PromptConfig,
    rngs: Sequence[np.random.Generator],
    *,
    several: bool,
    others: Tensor | None = None,
) -> Points:
    """Return the clicks that an annotator starts with.

    Parameters
    ----------
    masks : Tensor
        The objects; an empty one gets padding.
    config : PromptConfig
        Reads `positives`, `negatives`, `placing`, `deepest`, `ring`, `least_area`.
    rngs : sequence of numpy.random.Generator
        One for each object.
    several : bool
        Whether the numbers of clicks are drawn; else it is one positive click.
    others : Tensor, optional
        What no negative click may lie on, shape of `masks`.

    Returns
    -------
    Points
        Points and labels: positive clicks, negative clicks, padding. Clicks of one
        sign are different pixels, so that there may be fewer than drawn.
    """
    clicks = []
    for i, (mask, rng) in enumerate(zip(_arrays(masks), rngs, strict=True)):
        count = (1, 0)
        if several:
            count = _between(config.positives, rng), _between(config.negatives, rng)
        banned = np.zeros_like(mask) if others is None else _arrays(others[i])
        clicks.append(_clicks_at(mask, banned, count, config, rng))
    most = config.positives[1] + config.negatives[1] if several else 1
    return _batched(clicks, most, masks.device)


def boxes(
    masks: Tensor, config: PromptConfig, rngs: Sequence[np.random.Generator]
) -> Points:
    """Return a box around each mask as two corners, moved as `config` says.

    Boxes stay inside the image: one that moves as a whole keeps its size.
    """
    rows, cols = masks.shape[1:]
    edge, reach = np.array([cols - 1, rows - 1]), config.box_jitter * max(rows, cols)
    points, labels = _padding(len(masks), 2)
    for i, (mask, rng) in enumerate(zip(_arrays(masks), rngs, strict=True)):
        if not mask.any():
            continue
        y, x = _window(_largest(mask) if config.box_of == "largest" else mask)
        box = np.array([[x.start, y.start], [x.stop - 1, y.stop - 1]], float)
        if config.box_moves == "whole":
            box += rng.uniform(-reach, reach, 2).clip(-box[0], edge - box[1])
        else:
            moved = (box + rng.uniform(-reach, reach, (2, 2))).clip(0, edge)
            box = np.sort(moved, axis=0)  # sides of a thin box may have changed places
        points[i] = torch.from_numpy(box)
        labels[i] = torch.tensor([BOX_START, BOX_END])
    return points.to(masks.device), labels.to(masks.device)


def corrections(
    predicted: Tensor,
    truth: Tensor,
    config: PromptConfig,
    rngs: Sequence[np.random.Generator],
) -> Points:
    """Return the clicks of one round of corrections, padding where all is right.

    A click is positive where the object was missed, negative beside it. In the centres
    of the largest errors (`next_click`) each error gets one; at random they are
    different pixels.
    """
    clicks: list[list[Click]] = []
    pairs = zip(_arrays(predicted), _arrays(truth), rngs, strict=True)
    for found, mask, rng in pairs:
        count, wrong = int(rng.choice(config.clicks_a_round)), found ^ mask
        if not wrong.any():
            clicks.append([])
        elif config.correct_at == "random":
            pixels = _scattered(wrong, count, rng)
            clicks.append([Click(*at, bool(mask[at])) for at in pixels])
        else:
            y, x = window = _window(wrong)
            errors = _largest_errors(found[window], mask[window], count)
            clicks.append(
                [Click(row + y.start, col + x.start, sign) for row, col, sign in errors]
            )
    return _batched(clicks, max(config.clicks_a_round), truth.device)


def ask_for_classes(points: Points, asked: Tensor) -> Points:
    """Put a class prompt in place of the points of the objects that have a class.

    `asked` holds the index of the class, or a negative number.
    """
    labels = points[1].clone()
    whole = asked >= 0
    labels[whole] = PADDING
    labels[whole, 0] = (FIRST_CLASS + asked[whole]).int()
    return torch.where(whole[:, None, None], 0.0, points[0]), labels


def join(first: Points, second: Points) -> Points:
    """Return the points of both, in order."""
    return torch.cat([first[0], second[0]], 1), torch.cat([first[1], second[1]], 1)


def draw_rounds(config: PromptConfig, rng: np.random.Generator) -> int:
    """Return the number of rounds of corrections on the first slice."""
    shares = np.array(config.corrections)
    return int(rng.choice(len(shares), p=shares / shares.sum()))


def draw_kind(
    config: PromptConfig, frames: int, rng: np.random.Generator
) -> PromptKind:
    """Return the kind of the first prompt of a clip of `frames` slices.

    Raises
    ------
    TrainingError
        If no kind is left to draw.
    """
    # A mask is the answer on its own slice: it trains nothing without a next one.
    usable = {
        kind: share
        for kind, share in config.kinds.items()
        if share > 0 and (kind != "mask" or frames > 1)
    }
    if not usable:
        raise TrainingError(
            f"expected a kind of prompt that clips of {frames} slices can start with, "
            f"found {config.kinds}; give click, clicks or box a share above 0, or "
            "train on clips of several slices"
        )
    shares = np.array(list(usable.values()))
    return list(usable)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def prompt_slices(
    frames: int, config: PromptConfig, rng: np.random.Generator
) -> tuple[int, ...]:
    """Return the slices of a clip that are prompted, in order.

    Every n-th, or a number that is drawn, equally spaced: one is the first slice, two
    are the first and the last, three those and the middle.
    """
    if config.every > 0:
        return tuple(range(0, frames, config.every))
    count = min(_between(config.slices, rng), frames)
    spaced = np.floor(np.linspace(0, frames - 1, count) + 0.5)
    return tuple(int(z) for z in spaced)


def key_points(mask: np.ndarray) -> KeyPoints:
    """Return where the skeleton of `mask` ends, forks in two and crosses itself.

    Ends have one neighbour of eight. Neighbouring pixels with three or more are one
    junction, given by its pixel nearest to its centroid: a bifurcation where three
    branches meet, a crossing where it is more.
    """
    from skimage.morphology import skeletonize

    skeleton = skeletonize(mask)
    weights = EIGHT_CONNECTED.astype(np.uint8)
    neighbours = convolve(skeleton.astype(np.uint8), weights, mode="constant") - 1
    junctions, _ = label(skeleton & (neighbours > 2), EIGHT_CONNECTED)
    found: dict[bool, Pixels] = {False: [], True: []}
    for number, box in enumerate(find_objects(junctions), 1):
        y, x = near = _grown(box, 1)
        junction = junctions[near] == number
        meeting = binary_dilation(junction, EIGHT_CONNECTED) & skeleton[near]
        branches = label(meeting & ~junction, EIGHT_CONNECTED)[1]
        if branches > 2:
            row, col = _central(junction)
            found[branches > 3].append((row + y.start, col + x.start))
    forks, crossings = (np.reshape(found[key], (-1, 2)).astype(int) for key in found)
    return KeyPoints(np.argwhere(skeleton & (neighbours == 1)), forks, crossings)


def _clicks_at(
    mask: np.ndarray,
    banned: np.ndarray,
    count: tuple[int, int],
    config: PromptConfig,
    rng: np.random.Generator,
) -> list[Click]:
    if not mask.any():
        return []
    y, x = window = _grown(_window(mask), config.ring[1])
    mask, banned = mask[window], banned[window]
    placed = [_positives(mask, count[0], config, rng), []]
    if count[1]:
        placed[1] = _negatives(mask, banned, count[1], config, rng)
    return [
        Click(row + y.start, col + x.start, sign)
        for sign, pixels in zip((True, False), placed, strict=True)
        for row, col in pixels
    ]


def _positives(
    mask: np.ndarray, count: int, config: PromptConfig, rng: np.random.Generator
) -> Pixels:
    aimed: Pixels = []
    if rng.random() < config.deepest:
        aimed.append(deepest_pixel(mask))
    if config.placing == "keypoints":
        points = key_points(mask)
        pixels = np.concatenate([points.ends, points.bifurcations])
        aimed += _as_pixels(rng.permutation(pixels))
    elif config.placing != "random":
        pieces = _pieces(mask, config.least_area)
        for at in aimed:  # this component has its click
            pieces[pieces == pieces[at]] = 0
        for piece in _shuffled(pieces, count, rng):
            one = config.placing == "centroids"
            aimed += [_central(piece)] if one else _scattered(piece, 1, rng)
    return _first_of(aimed + _scattered(mask, count, rng), count)


def _negatives(
    mask: np.ndarray,
    banned: np.ndarray,
    count: int,
    config: PromptConfig,
    rng: np.random.Generator,
) -> Pixels:
    away, nearest = distance_transform_cdt(~mask, "chessboard", return_indices=True)
    band = (away > config.ring[0]) & (away <= config.ring[1]) & ~mask & ~banned
    aimed: Pixels = []
    if config.placing in ("components", "centroids"):
        around = _pieces(mask, config.least_area)[tuple(nearest)] * band
        for ring in _shuffled(around, count, rng):
            aimed += _scattered(ring, 1, rng)
    return _first_of(aimed + _scattered(band, count, rng), count)


def _largest_errors(found: np.ndarray, truth: np.ndarray, count: int) -> list[Click]:
    """Return a click for each of the largest errors, largest first."""
    clicks: list[Click] = []
    while len(clicks) < count and (click := next_click(truth, found)) is not None:
        clicks.append(click)
        errors, _ = label((truth == click.positive) & (found ^ truth), EIGHT_CONNECTED)
        found = found ^ (errors == errors[click.row, click.col])
    return clicks


def _pieces(mask: np.ndarray, least_area: int) -> np.ndarray:
    """Return the numbered components of at least `least_area` pixels."""
    pieces, _ = label(mask, EIGHT_CONNECTED)
    numbered: np.ndarray = pieces * (np.bincount(pieces.ravel()) >= least_area)[pieces]
    return numbered


def _shuffled(
    pieces: np.ndarray, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the masks of up to `count` numbered pieces, in random order."""
    numbers = np.flatnonzero(np.bincount(pieces.ravel()))
    return [pieces == n for n in rng.permutation(numbers[numbers > 0])[:count]]


def _largest(mask: np.ndarray) -> np.ndarray:
    pieces, _ = label(mask, EIGHT_CONNECTED)
    largest: np.ndarray = pieces == np.bincount(pieces[mask]).argmax()
    return largest


def _scattered(region: np.ndarray, count: int, rng: np.random.Generator) -> Pixels:
    """Return up to `count` different random pixels."""
    pixels = np.argwhere(region)
    few = min(count, len(pixels))
    return _as_pixels(pixels[rng.choice(len(pixels), few, replace=False)])


def _central(region: np.ndarray) -> tuple[int, int]:
    """Return the pixel of `region` nearest to its centroid."""
    pixels = np.argwhere(region)
    row, col = pixels[((pixels - pixels.mean(0)) ** 2).sum(1).argmin()]
    return int(row), int(col)


def _as_pixels(pixels: np.ndarray) -> Pixels:
    return [(int(row), int(col)) for row, col in pixels]


def _first_of(pixels: Pixels, count: int) -> Pixels:
    return list(dict.fromkeys(pixels))[:count]


def _window(mask: np.ndarray) -> Window:
    """Return the bounding box of a mask that is not empty."""
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)


def _grown(window: Window, by: int) -> Window:
    y, x = (slice(max(side.start - by, 0), side.stop + by) for side in window)
    return y, x


def _between(bounds: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(bounds[0], bounds[1], endpoint=True))


def _arrays(masks: Tensor) -> np.ndarray:
    arrays: np.ndarray = masks.numpy(force=True)
    return arrays


def _batched(
    clicks: Sequence[Sequence[Click]], most: int, device: torch.device
) -> Points:
    points, labels = _padding(len(clicks), most)
    for i, of_object in enumerate(clicks):
        for j, click in enumerate(of_object):
            points[i, j] = torch.tensor([click.col, click.row])
            labels[i, j] = int(click.positive)
    return points.to(device), labels.to(device)


def _padding(objects: int, count: int) -> Points:
    labels = torch.full((objects, count), PADDING, dtype=torch.int32)
    return torch.zeros(objects, count, 2), labels
