"""Write `benchmark.md` and its pictures from runs of `napari-octa-sam2 bench`.

    python docs/benchmark.py RUN/bench.json ...

Runs of the same model become one section and one picture; those of the case `metrics`
alone, which has no model, a section of their own.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path

from napari_octa_sam2.bench.plot import draw
from napari_octa_sam2.bench.report import Report
from napari_octa_sam2.bench.settings import CASE_NAMES, Settings
from napari_octa_sam2.tables import piped

DOCS = Path(__file__).parent
INTRODUCTION = """# Benchmark

The engine beside SAM 2's own video predictor (`sam2` 1.1.0): the same weights,
prompts and slices, the same threads, slice by slice in turn, in one run. Each figure
is a median. The reference runs in float32, as it does on a CPU; the engine in what
`--precision auto` chooses. Times are those of a busy, shared machine: the ratios are
what to look at.

Random weights take as long as trained ones, but their logits lie near zero, where a
rounding error moves borders: masks of trained weights are compared in the section of
`octa-nano`. In float32 the logits are those of SAM 2's predictor within 1e-4
(`tests/engine/test_equality.py`). What is saved, and how: [the engine](engine.md).

In the second pass "what changed" goes from the corrected slice onwards, as the dock
does, and is compared with the predictor begun there; "all slices" is compared with its
full pass, which alters slices before the corrected one as well. The reference is timed
on a sample of its slices and scaled, which the table says.

`octa-nano` differs more where anything is rounded or pooled: where a piece of a vessel
hangs on by a pixel, a mask has it or has not. It is compared with itself in float32,
and runs in float32 unless told otherwise. CUDA and MPS have not been measured.

Made by the commands below and `python docs/benchmark.py RUN/bench.json ...`.
"""
METRICS = """## Metrics and biomarkers

Ten vessel trees in a volume of 640 x 400 x 400 voxels (2 x 6 x 6 mm), and a prediction
that is the same moved by a voxel, with holes and a false object. Each part runs in a
process of its own; its peak is counted over the two volumes and the libraries.

- **evaluate**: every figure of objects, classes, all, and each slice of them. It is to
  take less than 60 s on two cores, and 4 GB.
- **biomarkers**: every figure of the prediction, en face in all regions and in 3-D.
- **live**: the overlap after painting on a slice, which is known or has to be found;
  it is to take less than 200 ms. The reference counts all slices again, in turn.
- **live biomarkers**: those of one plane, for all vessels, or for arteries, veins and
  both.
- **HD95 of all**: by the nearest voxel of the other surface; the reference computes
  the distance of every voxel of the bounding box to a surface.
"""
OPTIONS = {
    "cases": "--cases",
    "sizes": "--sizes",
    "objects": "--objects",
    "slices": "--slices",
    "repeats": "--repeats",
    "sample": "--sample",
    "pixels": "--pixels",
    "limit": "--limit",
    "feature_mb": "--feature-mb",
    "precision": "--precision",
    "attention": "--attention",
}


def main() -> None:
    """Write the page and the pictures."""
    reports = [
        Report.from_json(json.loads(Path(name).read_text("utf-8")))
        for name in sys.argv[1:]
    ]
    judged = [report for report in reports if _cases(report) == ["metrics"]]
    reports = [report for report in reports if report not in judged]
    reports.sort(key=lambda report: str(report.record["model"]), reverse=True)
    blocks = [INTRODUCTION]
    for model, alike in groupby(reports, lambda report: str(report.record["model"])):
        blocks.append(_section(model, list(alike)))
    if judged:
        on = judged[0].record["processor"]
        blocks.append(f"{METRICS}\nOn {on}.\n\n{_tables(judged)}")
    (DOCS / "benchmark.md").write_text("\n".join(blocks), "utf-8")


def _section(model: str, reports: list[Report]) -> str:
    exact = [r for r in reports if r.record["settings"]["attention"] == "exact"]
    drawn = [row for report in exact for row in report.rows]
    drawn.sort(key=lambda row: CASE_NAMES.index(row.case))
    picture = f"benchmark-{model.replace('.', '-')}.png"
    draw(Report(reports[0].record, tuple(drawn), True)).savefig(
        DOCS / "images" / picture
    )
    record = reports[0].record
    blocks = [
        f"## {model}, {record['weights']} weights\n",
        f"{reports[0].headline()}. torch {record['versions']['torch']}.\n",
        f"![Times and memory](images/{picture})\n",
    ]
    return "\n".join([*blocks, _tables(reports)])


def _tables(reports: list[Report]) -> str:
    """Return the command and the tables of each report."""
    blocks = []
    for report in reports:
        blocks.append(f"```\n{_command(report)}\n```\n")
        for case, table in report.tables():
            blocks.append(f"**{case}**\n\n{piped(table)}\n")
    return "\n".join(blocks)


def _cases(report: Report) -> list[str]:
    cases: list[str] = report.record["settings"]["cases"]
    return cases


def _command(report: Report) -> str:
    settings = report.record["settings"]
    usual = json.loads(json.dumps(Settings().to_json()))
    words = [f"napari-octa-sam2 bench --model {settings['model']}"]
    if settings["random"]:
        words.append("--random")
    for key, option in OPTIONS.items():
        value = settings[key]
        if value is not None and value != usual[key]:
            given = ",".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"{option} {given}")
    return " ".join([*words, f"--threads {report.record['threads']}"])


if __name__ == "__main__":
    main()
