"""What `models info` says of networks that a recipe can train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from napari_octa_sam2.cli.console import (
    print_json,
    print_pairs,
    print_table,
    progress,
)

HEADER = ["architecture", "size", "parameters", "slice [ms]", ""]


def show_architectures(kind: str | None, as_json: bool) -> None:
    """Measure all architectures, or one, and print what came of it."""
    from napari_octa_sam2.engine.device import choose_compute
    from napari_octa_sam2.engine.record import compute_record
    from napari_octa_sam2.model import architectures

    chosen = architectures.examples(kind)
    rows = []
    with progress("networks") as tell:
        for number, example in enumerate(chosen):
            tell(number, len(chosen), example.label)
            rows.append(architectures.measure(example))
        tell(len(chosen), len(chosen))
    where = compute_record(choose_compute())
    told = {} if kind is None else architectures.describe(kind)
    if as_json:
        print_json(told | where | {"architectures": rows})
        return
    if told:
        print_pairs(_facts(told))
        typer.echo()
    typer.echo(
        "One grey slice of 304 x 304 pixels, one class; {device}, {precision}, "
        "threads: {threads}\n".format_map(where)
    )
    print_table([HEADER, *_rows(rows)])


def _facts(told: Mapping[str, Any]) -> dict[str, str]:
    settings = (f"{key}: {value}" for key, value in told["settings"].items())
    multiple = told["multiple"]
    fits = f"sides are extended to multiples of {multiple} pixels"
    return {
        "name": told["name"],
        "title": told["title"],
        "source": told["source"],
        "input": "any size" + (f"; {fits}" if multiple > 1 else ""),
        "settings": "; ".join(settings),
    }


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    def cell(value: float | None, otherwise: str) -> str:
        return otherwise if value is None else f"{value:,.0f}"

    return [
        [
            *(row["name"], row["size"]),
            cell(row["parameters"], "unknown"),
            cell(row["milliseconds"], "not timed"),
            row["missing"] or row["title"],
        ]
        for row in rows
    ]
