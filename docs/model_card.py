"""Write the model cards of the bundled models from the records beside their weights.

    python docs/model_card.py [NAME ...] [--figures clicks.json automatic.json ...]

`--figures` first puts what `evaluate --protocol ... --out DIR` measured into the record
of the model that was judged. The curves of octa-nano are drawn by `docs/pictures.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_octa_sam2.model.card import (
    Rows,
    figure_rows,
    head_rows,
    model_card,
    phase_rows,
    write_figures,
)
from napari_octa_sam2.model.download import checkpoint_path
from napari_octa_sam2.model.registry import PROMPTLESS, ModelEntry, get_entry

DOCS = Path(__file__).parent
HEAD = """\
<!-- Written by docs/model_card.py from the record beside the weights. -->
# Model card: {name}

"""
NANO = """\
A network for interactive segmentation of OCTA slices and sequences, small enough to
ship with the package and fast enough for a CPU. It answers clicks, boxes, masks and
classes ("every large vessel on this slice"), and follows objects through the slices.

| | |
|---|---|
| architecture | the modules of SAM 2.1 with a narrower trunk \
(`model/configs/{name}.yaml`); prompts are painted onto the image embedding as well \
(`model/prompt_encoder.py`); a slice without prompts is given the mask of the slice \
before it, and single objects stay in one piece with their prompts \
(`model/octa_sam2.py`, `model/connected.py`); a refinement head reads each slice once \
at its own resolution, and joins what it sees with the mask and the clicks of each \
object (`model/refinement.py`) |
| parameters | {network:,}, and {refinement:,} of the refinement head |
| size | {bytes:,} bytes, half precision |
| input | one grey slice, scaled to {input_size} x {input_size} pixels; masks have the \
size of the slice |
| classes that can be asked for | {classes} |
| licence | {licence} |
| SHA-256 | `{sha256}` |
| record | `model/weights/{name}.json`; `napari-octa-sam2 models info {name}` shows it |

{trained} A simulated annotator asks for classes, clicks, boxes and
corrects.

{phases}

"Clips" are clips a step, slices a clip, its pixels, and the side of the network's
input to which they are scaled; the learning rate is the highest one. Each phase begins
with the weights of the one before. The result is the mean of the weights after
{averaged} (Wortsman et al., "Model soups", 2022): the last phases make corrections and
large vessels better and following worse, and the mean, compared with both ends on
phantoms, kept most of either.

The record is of a run that was changed on the way; a repeated one will differ. Phases
1 to 4 were run with an earlier refinement head, of which nothing was kept: the head of
these weights begins with phase 5. Before phase 6 its last layers were begun anew, as it
was now told what hangs together with the clicks; from phase 7 on it believes the
network's mask only so far. Phases 1 to 3 were run with a generator whose motion moved
the image but not the truth, and phases before 7 with single vessels labelled less
generously. Only from phase 9 on does the network see in training what it remembers, the
refined masks. One or two CPU threads, beside other work; the pauses of phases 9 and 10
are in their time.

![Loss and Dice while training](images/{name}-training.png)

![Dice on real images against hours of training](images/{name}-quality.png)

What the hours bring on real images, most of them of eyes and scanners that are not in
the training: mean Dice after the class prompt (FAZ: one click), at most 20 images a
task. Open marks are without the refinement head, which was not trained by then.

## What the refinement head brings

{head}

Mean Dice / clDice after the class prompt alone (FAZ: one click). The limit of the mask
grid is that of a perfect mask on the {grid} x {grid} cells that SAM 2 decodes, at the
threshold best for each image. Written by `docs/studies.py`.

## Figures

{figures}

## Limits

- The synthetic scans are of healthy eyes: where there is pathology, look at every mask.
- Flow alone hardly tells arteries from veins: check what the classes "artery" and
  "vein" bring.
- Single vessels in depth slices are followed poorly: one click often finds a part of a
  tree, and where vessels cross or touch an object spreads. Mark ends as "absent" in the
  prompt file, click on several slices, follow a shorter range.
- A negative click beside a single vessel can still take much of it away: undo it, and
  add positive ones.
- In depth slices the FAZ ends where the layers do, which flow hardly shows: expect to
  correct it.
- The generator was tuned while looking at the distributions of OCTA-500's training
  splits and of the six subjects whose FAZ and all-vessel maps are among the figures
  (their mean FAZ size and vessel density), and how generously single vessels are
  labelled was set while looking at the sequence of subject 10301: those figures are not
  wholly independent.
- Nothing here is validated for clinical use.
"""
AUTO = """\
A network that finds whole classes on OCTA slices and en-face images without a prompt,
small enough to ship with the package and fast enough for a CPU. What it finds can be
corrected with clicks, or prompt SAM 2 (`napari-octa-sam2 segment --auto`).

| | |
|---|---|
| architecture | a U-net on blocks of 2 x 2 pixels, with a logit of each class for \
each pixel (`model/promptless/block_unet.py`): {architecture} |
| parameters | {network:,} |
| size | {bytes:,} bytes, half precision |
| input | one grey slice of any size, at its own resolution; masks have the size of \
the slice |
| classes that are found | {classes} |
| licence | {licence} |
| SHA-256 | `{sha256}` |
| record | `model/weights/{name}.json`; `napari-octa-sam2 models info {name}` shows it |

{trained} Every pixel is of none, one or several classes; an image counts for
those that its truth tells.

{phases}

"Clips" are clips a step, slices a clip, and its pixels; the learning rate is the
highest one.

## Figures

{figures}

## Limits

- Arteries and veins look alike in an en-face image: the network tells them apart with a
  Dice near 0.6. Correct them, or ask for RV, all large vessels together.
- "RV" are the vessels that OCTA-500 and ROSSA outline; how thin a vessel may be to
  count as large, no image says.
- Scans of other devices, fields of view and pixel sizes than it has learned from:
  look at every mask.
- The synthetic scans are of healthy eyes: where there is pathology, look at every mask.
- Depth slices it knows from synthetic volumes alone.
- The generator was tuned while looking at the distributions of OCTA-500's training
  splits and of the six subjects whose FAZ and all-vessel maps are among the figures
  (their mean FAZ size and vessel density), and how far clips are zoomed and how many of
  them are ROSSA's was chosen among a few while looking at the figures of the validation
  splits: none of these figures is wholly independent.
- For research, not for diagnosis: nothing here is validated for clinical use.
"""
TRAINED = """\
## Data

{data}
- Nothing of OCTA-500: figures on it are of eyes that the network has not seen.

## Training

```
{command}
```

{hours:.1f} hours on one machine ({machine}), finished {finished}, with version
{version} of the package."""
PAGES = {"octa-nano": NANO, "octa-auto": AUTO}
DATA = {
    "phantom": """\
Procedural phantoms of this package (`volume/phantom`), drawn anew by seed: depth
  slices of volumes and en-face projections, 3 and 6 mm.""",
    "rossa": """\
ROSSA (`train_manual`, `train_sam`: 718 en-face images with vessel masks), published
  with OCTA-FRNet under the MIT licence, copyright 2023 Haojian Ning.""",
}
ROSSA = "--data rossa/train_manual --data rossa/train_sam "
MEASURED = """\
{how}, on samples that were not
trained on: `napari-octa-sam2 evaluate --protocol {protocol}`, see
[Evaluation](evaluation.md). A target is of the mean; it was set before the training.

{table}

Measured on {conditions}. {missed}"""
HOW = {
    "clicks": "A simulated annotator prompts, and every answer is scored",
    "automatic": "Masks found without a prompt and cleaned by default are scored",
}
UNMEASURED = "None have been measured of these weights yet."


def render(card: Mapping[str, Any]) -> str:
    """Return the page for what `model_card` returns."""
    training = card["training"]
    known = [key for key in DATA if any(key in d.lower() for d in training["data"])]
    facts = (
        card
        | card["parameters"]
        | training
        | {
            "classes": ", ".join(card["classes"]),
            "data": "\n".join(f"- {DATA[key]}" for key in known),
            "command": f"napari-octa-sam2 train --recipe {training['recipe']} "
            + ROSSA * ("rossa" in known)
            + "--out DIR",
            "hours": training["seconds"] / 3600,
            "machine": ", ".join(f"{k} {v}" for k, v in training["machine"].items()),
            "phases": table(phase_rows(training)),
            "figures": figures(training, card["kind"]),
            "averaged": " and ".join(training.get("averaged") or ["the last phase"]),
            "head": table(head_rows(training)),
            "grid": card["input_size"] // 4,
            "architecture": settings(card),
        }
    )
    facts["trained"] = TRAINED.format_map(facts)
    return (HEAD + PAGES[card["name"]]).format_map(facts)


def settings(card: Mapping[str, Any]) -> str:
    """Return the settings of a promptless network, in words."""
    given = card.get("network", {}).get("settings", {})
    return "; ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in given.items()
    )


def figures(training: Mapping[str, Any], kind: str) -> str:
    """Return the section of figures."""
    found = training.get("figures")
    if not found:
        return UNMEASURED
    protocol = "automatic" if kind == PROMPTLESS else "clicks"
    places = sorted({conditions(row) for row in found})
    missed = dict.fromkeys(row["task"] for row in found if row["met"] is False)
    return MEASURED.format(
        how=HOW[protocol],
        protocol=protocol,
        table=table(figure_rows(training)),
        conditions=" and ".join(places),
        missed=f"Targets missed: {', '.join(missed)}." if missed else "",
    ).rstrip()


def conditions(row: Mapping[str, Any]) -> str:
    """Return in words what a figure was measured on."""
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    how = filter(None, (row.get("precision"), threads))
    return f"{row['device']} ({', '.join(how)})"


def table(rows: Rows) -> str:
    """Return rows as Markdown, the first one as header."""
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(PAGES))
    parser.add_argument("--figures", type=Path, nargs="*", default=())
    arguments = parser.parse_args()
    for path in arguments.figures:
        report = json.loads(path.read_text("utf-8"))
        judged = get_entry(report["record"]["model"]["name"])
        write_figures(record_of(judged), report)
    for name in arguments.names:
        entry = get_entry(name)
        card = model_card(entry)
        if card.get("training") is None:
            parser.error(
                f"{record_of(entry)} is missing, or not of the weights in the registry"
            )
        (DOCS / f"{name}.md").write_text(render(card), "utf-8")


def record_of(entry: ModelEntry) -> Path:
    """Return where the record of a bundled model is."""
    return checkpoint_path(entry).with_suffix(".json")


if __name__ == "__main__":
    main()
