"""Which tables there are of the answers, and the columns of labels layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from napari_octa_sam2.metrics.report.levels import LevelTable, level_tables
from napari_octa_sam2.metrics.results import Results

if TYPE_CHECKING:
    import pandas as pd

    from napari_octa_sam2.widgets.measure.live import Freshness, IsOld
    from napari_octa_sam2.widgets.measure.table import MakeTable

LEVELS = {
    "object": "objects",
    "class": "classes",
    "all": "all objects together",
    "slice": "slices",
    "object slice": "objects by slice",
    "region": "regions",
    "faz": "FAZ",
    "volume": "whole volume",
    "artery to vein": "arteries to veins",
    "graders": "pairs of graders",
    "biomarker": "biomarkers of graders",
}
INDEX = "index"  # the column in which napari looks a label up


def table_makers(found: Mapping[str, Freshness]) -> dict[str, MakeTable]:
    """Return by its name what makes each table, of whatever was found."""
    return {
        f"{kind}: {LEVELS.get(level, level)}": partial(_table, fresh, level)
        for kind, fresh in found.items()
        for level in fresh.answer.results.levels()
    }


def kind_of(name: str) -> str:
    """Return the kind of the answer that a table of this name is of."""
    return name.partition(":")[0]


def with_features(features: pd.DataFrame, parts: Iterable[Results]) -> pd.DataFrame:
    """Return the features of a labels layer with a row an object.

    Parameters
    ----------
    features : pandas.DataFrame
        As the layer has them; columns of the user stay.
    parts : iterable of Results
        Their level ``"object"`` is taken.
    """
    import pandas as pd

    old = features if INDEX in features else features.rename_axis(INDEX).reset_index()
    table = old.set_index(INDEX)
    for results in parts:
        rows = results.at("object")
        if not rows:
            continue
        (made,) = level_tables(Results(rows))
        records = [
            {k: v for k, v in record.items() if k != "object"}
            for record in made.records()
        ]
        ids = pd.Index([int(row.labels["object"]) for row in rows], name=INDEX)
        ours = pd.DataFrame(records, index=ids)
        table = table.reindex(table.index.union(ids))
        for column in ours:
            kept = table.get(column, pd.Series(index=table.index, dtype=object))
            table[column] = (
                ours[column].reindex(table.index).where(table.index.isin(ids), kept)
            )
    return table.reset_index()


def _table(fresh: Freshness, level: str) -> tuple[LevelTable | None, IsOld | None]:
    (table,) = level_tables(Results(fresh.rows(level))) or (None,)
    return table, fresh.is_old()
