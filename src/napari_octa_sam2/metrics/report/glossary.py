"""All definitions as a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping

from napari_octa_sam2.metrics.definitions import GROUPS, Definition
from napari_octa_sam2.metrics.results import pretty_unit
from napari_octa_sam2.tables import piped

HEADER = ["Figure", "Formula", "Known bias", "Source"]


def definitions_markdown(
    groups: Mapping[str, Mapping[str, Definition]] = GROUPS,
) -> str:
    """Return a Markdown table of each group of definitions, under its heading.

    Units are those of scans with a known spacing.
    """
    return "\n".join(
        f"### {title}\n\n{piped([HEADER, *map(_row, group.values())])}\n"
        for title, group in groups.items()
    )


def _row(definition: Definition) -> list[str]:
    symbol, title, formula, bias, source = map(
        _escaped,
        (
            *(definition.symbol, definition.title),
            *(definition.formula, definition.bias, definition.source),
        ),
    )
    unit = pretty_unit(definition.unit("mm")) or "no unit"
    name = f"**{symbol}** {title}; {unit}; `{definition.key}`"
    return [name, formula, bias, source]


def _escaped(text: str) -> str:
    """Return text in which Markdown sees no column, emphasis or tag."""
    for sign in "\\|*_<":
        text = text.replace(sign, f"\\{sign}")
    return text
