"""What clicks and shapes carry: whose they are, their interaction, their polarity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Points, Shapes

# Okabe and Ito's colours, told apart with every kind of colour vision.
COLOURS = {"positive": "#009E73", "negative": "#D55E00"}
Key = tuple[int, int, int]  # step, object, slice


def polarity(label: int | bool) -> str:
    """Return the name of a label: 1 is positive, 0 negative."""
    return "positive" if label else "negative"


def feature_table(
    objects: Iterable[int], steps: Iterable[int], polarities: Iterable[str]
) -> pd.DataFrame:
    """Return the features of a layer, a row for each click or shape."""
    import pandas as pd

    columns = {"object": np.array([*objects], int), "step": np.array([*steps], int)}
    return pd.DataFrame(columns | {"label": np.array([*polarities], object)})


def feature_rows(layer: Points | Shapes) -> Iterator[tuple[int, int, int]]:
    """Yield object, step and label (1, 0) of each click or shape."""
    columns = (layer.features[name] for name in ("object", "step", "label"))
    for object_id, step, name in zip(*columns, strict=True):
        yield int(object_id), int(step), int(name == "positive")
