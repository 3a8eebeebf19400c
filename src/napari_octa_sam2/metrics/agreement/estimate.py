"""A number with its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

CONFIDENCE = 0.95
TAIL = (1 + CONFIDENCE) / 2


@dataclass(frozen=True)
class Estimate:
    """What was estimated, and its 95 % confidence interval; nan where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


UNKNOWN = Estimate()
