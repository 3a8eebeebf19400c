"""Write `review.md` and its picture from a run of the review protocol.

    python docs/review.py RUN/review.json

The run is one of `napari-octa-sam2 evaluate --protocol review --out RUN`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from napari_octa_sam2.protocol.review.plot import draw
from napari_octa_sam2.protocol.review.report import NAMES, Report
from napari_octa_sam2.tables import piped

DOCS = Path(__file__).parent
PICTURE = "review-octa-nano.png"
INTRODUCTION = """# What the review queue is worth

The review queue shows the slice that the model doubts most. This page compares it with
stepping through the slices: how many have to be looked at, and how many clicks made,
until the objects of a sequence have a Dice of 0.90.

```
napari-octa-sam2 evaluate --protocol review --realdata FOLDER --out figures
```

writes `review.json`, `review.csv` (a row a visit), `review.md` and `review.png`.
Options are those of the [click protocol](evaluation.md); its tasks are `faz-sequence`,
`rv-sequence` and `rv-together`. `python docs/review.py figures/review.json` makes this
page.

## The annotator

- A simulated annotator knows the truth. One click on the slice where the object is
  largest (on the pixel farthest from its border), then the object is followed both
  ways. That is the first visit; it locks nothing.
- Then the strategy chooses an object and slice that is not locked, and the annotator
  looks:
  - its Dice is 0.90 or more, or it rightly shows nothing: it is locked as it is;
  - it shows an object that is absent: that is said, one mark, no click;
  - else up to 3 clicks, each in the largest piece of the error, until its Dice is 0.90.
    If it is below 0.80 then, the slice is **painted**: it gets the true mask, as far as
    it does not lie on locked pixels of other objects.
- A locked mask is given to the model, as in the dock, and what changed is followed
  again.
- It ends when the **Dice over the volume**, of all voxels of the object (of all objects
  pooled, where they are reviewed together), is 0.90, or when every slice is locked.
  What is scored is what the labels hold: locked slices stay as they were locked.
- Counted are slices visited (the first clicks included; objects times slices in
  `rv-together`), clicks, marks of absence, paintings, and the seconds that the computer
  took, without encoding the slices. No random number is drawn: figures other than
  seconds are those of any run on the same machine.

## The strategies

- **Review queue**: the head of `ReviewTable.queue`, by the model's confidence alone.
  When nothing is above the threshold of doubt, the most doubtful of the rest is next.
- **Uniform stepping**: the middle of the widest gap between locked slices, over the
  slices that show the object; then outwards from it. This is the strongest of the rules
  that were tried. Dividing the whole volume took short vessels through nearly every
  slice; every second or third slice, then the gaps, differed from it by at most one
  visit on the FAZ and the longest vessel.
- **First to last**: plain stepping.
- **Worst first** goes where most pixels are wrong. Only the truth can tell, so nobody
  can do that: it shows how much a better measure of doubt could bring.
"""
FINDINGS = """## What was found

One subject, one FAZ and seven vessels: differences of a visit or two mean nothing.
The rule of uniform stepping was chosen on these same objects, which favours it.

- Beside plain stepping the queue saves a third of the visits (FAZ 7 instead of 10,
  vessels 51 instead of 74). Beside uniform stepping it saves none that count: FAZ 7
  instead of 8, vessels 51 and 51, for a tenth fewer clicks on vessels (85, 97) and more
  of them on the FAZ (19, 15).
- The queue is better on long vessels, where doubt lies at one end (vessel 08: 7 visits,
  10 uniform), and worse on short ones, where it looks at slices without the object that
  need only a mark of absence.
- From the third to the fifth visit uniform stepping has the higher mean Dice. Doubtful
  slices lie side by side, and the queue takes them one after the other; it does not
  know that a correction spreads to its neighbours.
- Knowing which slice is worst would bring 43 visits instead of 51. There is little to
  gain from a better order: after one click the masks are poor (mean Dice of the vessels
  0.38), and more than half of the slices reviewed have to be painted.
- Vessel 04, 136 pixels on two slices, reaches 0.90 by no strategy: its slices are kept
  from 0.80 on.
- `rv-together`, all vessels in one queue, was not part of this run.
"""


def main() -> None:
    """Write the page and the picture."""
    content = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    report = Report.from_json(content)
    record = report.record
    name = record["model"]["name"]
    draw(report.tasks, title=name).savefig(DOCS / "images" / PICTURE)
    blocks = [
        INTRODUCTION,
        f"## {name}\n",
        f"{record['device']}, {record['precision']}, threads: {record['threads']}, "
        f"torch {record['versions']['torch']}; seconds are those of a busy machine.\n",
        f"{piped(report.sums(), NAMES)}\n",
        f"![Dice against slices visited and against clicks](images/{PICTURE})\n",
        FINDINGS,
        "## Every object\n",
        f"{piped(report.singles(), NAMES)}\n",
    ]
    (DOCS / "review.md").write_text("\n".join(blocks), "utf-8")


if __name__ == "__main__":
    main()
