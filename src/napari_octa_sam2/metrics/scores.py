"""The record of an evaluation, and its forms as rows, JSON, CSV and text."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.tables import aligned


@dataclass(frozen=True)
class Scores:
    """Scores of one object, or of all objects together.

    Parameters
    ----------
    object : int, optional
        Id of the object; None for all objects merged to foreground.
    name : str
    dice, iou, precision, recall, cldice, hd95 : float
        As the functions of those names define them; `hd95` in the unit of the
        geometry and nan where a mask is empty.
    volume_truth, volume_prediction : float
        In the cube of that unit.
    slice_dice : mapping of int to float
        Dice of each slice on which truth or prediction is not empty.
    """

    object: int | None
    name: str
    dice: float
    iou: float
    precision: float
    recall: float
    cldice: float
    hd95: float
    volume_truth: float
    volume_prediction: float
    slice_dice: Mapping[int, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return all but the slices as one row of a table."""
        fields = {k: v for k, v in vars(self).items() if k != "slice_dice"}
        return fields | {"object": "all" if self.object is None else self.object}


@dataclass(frozen=True)
class Evaluation:
    """Scores of a segmentation.

    Parameters
    ----------
    objects : tuple of Scores
        One an id of the truth, in ascending order.
    pooled : Scores
        All ids merged to foreground.
    unit : str
        Unit of `hd95`: ``"mm"``, or ``"pixel"`` where the spacing is unknown.
    slices : tuple of int
        First and one past the last slice that were compared.
    slicewise : bool
        Whether clDice is of 2-D skeletons slice by slice, or of 3-D ones.
    false_objects : mapping of int to int
        Ids that only the prediction has, and their number of voxels.
    """

    objects: tuple[Scores, ...]
    pooled: Scores
    unit: str
    slices: tuple[int, int]
    slicewise: bool
    false_objects: Mapping[int, int] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row an object and a last one for all, with the same columns."""
        scores = [*self.objects, self.pooled]
        return [s.row() | {"unit": self.unit} for s in scores]

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON; a value that is nan becomes None."""
        return {
            "unit": self.unit,
            "slices": list(self.slices),
            "cldice": "slicewise" if self.slicewise else "3-D",
            "objects": [_scores_json(s) for s in self.objects],
            "pooled": _scores_json(self.pooled),
            "false_objects": {str(i): n for i, n in self.false_objects.items()},
        }

    def write_csv(self, path: str | Path) -> None:
        """Write `rows` as comma-separated values.

        Raises
        ------
        WriteError
            If the file cannot be written.
        """
        rows = self.rows()
        try:
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise WriteError(
                f"cannot write the scores to {path}: {error.strerror}; choose a "
                "folder that exists and that you may write to"
            ) from error

    def table(self) -> str:
        """Return the rows as plain text for a terminal."""
        header = ["object", "name", "Dice", "IoU", "precision", "recall", "clDice"]
        header += [f"HD95 [{self.unit}]", f"truth [{self.unit}^3]", "predicted"]
        cells = [[_cell(v) for v in list(row.values())[:-1]] for row in self.rows()]
        lines = [aligned([header, *cells], names=2)]
        if self.false_objects:
            found = ", ".join(
                f"{i} ({n} voxels)" for i, n in self.false_objects.items()
            )
            lines.append(f"only in the prediction: {found}")
        return "\n".join(lines)


def _scores_json(scores: Scores) -> dict[str, Any]:
    row = {k: None if v != v else v for k, v in scores.row().items()}
    return row | {"slice_dice": {str(k): v for k, v in scores.slice_dice.items()}}


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "n/a" if math.isnan(value) else f"{value:.4g}"
