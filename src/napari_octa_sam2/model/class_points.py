"""Asking a stock SAM 2 network for a whole class: by a click that names it.

A network that was trained with one fixed positive click for each class takes it as the
name of the class (the "global" mode of SAM-OCTA2: large vessels at x 150, y 50 of an
input of 1024 pixels, FAZ at 50, 150, and so on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.prompt_encoder import FIRST_CLASS, POSITIVE
from napari_octa_sam2.prompts import SEGMENTABLE

SIDE = 1024  # of the grid on which the clicks are given


def ask_by_points(network: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Let `network` be asked for classes: a class prompt becomes its click.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
        One without class prompts of its own.
    points : mapping of str to (float, float)
        x and y of each class, on a grid of `SIDE`.

    Raises
    ------
    ModelError
        If the network has class prompts, or a class is unknown.
    """
    if getattr(network, "classes", ()):
        raise ModelError(
            "this network is asked for classes by their name; leave out the clicks"
        )
    if unknown := sorted(set(points) - set(SEGMENTABLE)):
        raise ModelError(
            f"expected classes of {', '.join(SEGMENTABLE)}, found {unknown[0]!r}"
        )
    network.classes = tuple(name for name in SEGMENTABLE if name in points)
    network.class_points = dict(points)
    places = torch.zeros(len(SEGMENTABLE), 2)
    for name, place in points.items():
        places[SEGMENTABLE.index(name)] = torch.tensor(place)
    places *= network.image_size / SIDE

    def named(module: Any, arguments: Any, options: Any) -> Any:
        given = options.get("points")
        if given is None:
            return None
        coordinates, labels = given
        whole = labels >= FIRST_CLASS
        if not whole.any():
            return None
        own = places.to(coordinates)[(labels - FIRST_CLASS).clamp(min=0).long()]
        coordinates = torch.where(whole[..., None], own, coordinates)
        labels = torch.where(whole, POSITIVE, labels)
        return arguments, options | {"points": (coordinates, labels)}

    network.sam_prompt_encoder.register_forward_pre_hook(named, with_kwargs=True)
