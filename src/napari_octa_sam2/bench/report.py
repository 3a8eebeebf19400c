"""What a benchmark found: as text, Markdown, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.tables import Table, aligned, piped, write_files, write_json

FILES = ("bench.json", "table.md", "bench.png")
STOPPED = "INCOMPLETE: the run was stopped"
UNKNOWN = "not measured"


@dataclass(frozen=True)
class Report:
    """Everything that was measured.

    Parameters
    ----------
    record : mapping
        Model, reference, processor, device, threads, versions, settings.
    rows : tuple of Row
    complete : bool
        False if the run was stopped.
    """

    record: Mapping[str, Any]
    rows: tuple[Row, ...]
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "complete": self.complete,
            "record": dict(self.record),
            "rows": [row.to_json() for row in self.rows],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        """Return the report that `to_json` told of."""
        rows = tuple(Row.from_json(row) for row in content["rows"])
        return cls(content["record"], rows, content["complete"])

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yield the name of each case, and a header with its rows."""
        for case, rows in groupby(self.rows, lambda row: row.case):
            yield case, _table(list(rows))

    def headline(self) -> str:
        """Return what was compared, and on what."""
        r = self.record
        on = r["gpu"] or f"{r['processor']}, threads: {r['threads']}"
        return (
            f"{r['model']} ({r['weights']} weights): the engine in {r['precision']}; "
            f"reference: {r['reference']}; on {on}"
        )

    def table(self) -> str:
        """Return all tables as plain text for a terminal."""
        blocks = [] if self.complete else [STOPPED]
        blocks.append(self.headline())
        blocks += [f"{case}\n{aligned(table)}" for case, table in self.tables()]
        return "\n\n".join(blocks)

    def markdown(self) -> str:
        """Return the tables and the record as Markdown."""
        blocks = ["# Benchmark"]
        blocks += [] if self.complete else [f"**{STOPPED}.**"]
        blocks.append(f"{self.headline()}.")
        blocks += [f"## {case}\n\n{piped(table)}" for case, table in self.tables()]
        blocks.append(f"```json\n{json.dumps(dict(self.record), indent=1)}\n```")
        return "\n\n".join(blocks) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Write `FILES` into a folder, which is made if need be; return their paths.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        from napari_octa_sam2.bench.plot import draw

        writers = (
            lambda path: write_json(path, self.to_json()),
            lambda path: path.write_text(self.markdown(), "utf-8"),
            lambda path: draw(self).savefig(path),
        )
        return write_files(folder, dict(zip(FILES, writers, strict=True)))


def _table(rows: Sequence[Row]) -> Table:
    header = [*rows[0].point, *rows[0].figures]
    body = [
        [*map(str, r.point.values()), *map(_cell, r.figures.values())] for r in rows
    ]
    if any(row.note for row in rows):
        header.append("note")
        body = [[*line, row.note] for line, row in zip(body, rows, strict=True)]
    return [header, *body]


def _cell(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"
