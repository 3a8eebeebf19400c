"""What a benchmark found at one point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """The figures of one case at one point.

    Parameters
    ----------
    case : str
        One of `napari_octa_sam2.bench.settings.CASE_NAMES`.
    point : mapping
        What was measured: input size, objects, …
    figures : mapping
        Names with their unit, and values; None is "not measured".
    note : str
        What a reader must know to judge the figures.
    raw : mapping
        All single values.
    """

    case: str
    point: Mapping[str, str | int]
    figures: Mapping[str, float | None]
    note: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON; what is not finite becomes None."""
        figures = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in self.figures.items()
        }
        return {
            "case": self.case,
            "point": dict(self.point),
            "figures": figures,
            "note": self.note,
            "raw": dict(self.raw),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Row:
        """Return the row that `to_json` told of."""
        return cls(**content)
