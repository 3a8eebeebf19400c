"""The tasks, and the targets that the bundled model was set before it was trained.

A target is of the mean over all samples of a task and split.
"""

from __future__ import annotations

from functools import partial

from napari_octa_sam2.protocol.sequences import first_middle_last, largest, middle
from napari_octa_sam2.protocol.sources import find_maps, find_pairs, find_sequences
from napari_octa_sam2.protocol.tasks import EnFaceTask, SequenceTask, Task

FAZ_LAYERS = partial(find_sequences, "FAZ_LayerSequence", "FAZ")
RV_OBJECTS = partial(find_sequences, "RV_LayerSequence", "objects")

EN_FACE = (
    EnFaceTask(
        "faz-enface",
        "FAZ, ILM_OPL en face",
        partial(find_maps, "FAZ"),
        "FAZ",
        clicks=1,
        asked=False,
        least={"dice": 0.90},
    ),
    EnFaceTask(
        "rv-enface-3mm",
        "large vessels, ILM_OPL en face, 3 mm",
        partial(find_pairs, "octa500-rv/3M"),
        "RV",
        clicks=5,
        least={"dice": 0.87, "cldice": 0.90},
    ),
    EnFaceTask(
        "rv-enface-6mm",
        "large vessels, ILM_OPL en face, 6 mm",
        partial(find_pairs, "octa500-rv/6M"),
        "RV",
        clicks=5,
        least={"dice": 0.88, "cldice": 0.90},
    ),
    EnFaceTask(
        "rossa",
        "vessels of ROSSA, en face",
        partial(find_pairs, "rossa"),
        "RV",
        clicks=5,
        least={"dice": 0.91},
    ),
    EnFaceTask(
        "vessels",
        "all vessels, ILM_OPL en face",
        partial(find_maps, "all vessels"),
        "vessel",
        clicks=5,
        least={"dice": 0.75},
    ),
    EnFaceTask(
        "artery",
        "arteries, ILM_OPL en face",
        partial(find_maps, "artery"),
        "artery",
        clicks=5,
    ),
    EnFaceTask(
        "vein",
        "veins, ILM_OPL en face",
        partial(find_maps, "vein"),
        "vein",
        clicks=5,
    ),
)
SEQUENCES = (
    SequenceTask(
        "faz-sequence", "FAZ layer sequences", FAZ_LAYERS, middle, 1, least=0.92
    ),
    SequenceTask(
        "rv-sequence-1",
        "vessels of RV layer sequences, one slice prompted",
        RV_OBJECTS,
        largest,
        3,
        least=0.75,
    ),
    SequenceTask(
        "rv-sequence-3",
        "vessels of RV layer sequences, three slices prompted",
        RV_OBJECTS,
        first_middle_last,
        1,
        least=0.82,
    ),
)
TASKS: tuple[Task, ...] = EN_FACE + SEQUENCES
