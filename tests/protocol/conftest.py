from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import label

from napari_octa_sam2.model.loading import LoadedModel, build_network
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.model import PromptlessModel
from napari_octa_sam2.model.promptless.network import PromptlessNetwork
from napari_octa_sam2.volume.phantom import make_enface

SIZE = 96
SUBJECTS = {"OCTA_3M": ("10301", "10302"), "OCTA_6M": ("10001",)}
LAYERS = range(300, 303)


class Oracle:
    """A session that knows the truth: a click puts right the piece it falls on.

    Every click on an error corrects the whole connected piece of it; `whole` says
    what a class prompt answers with.
    """

    def __init__(self, truth, whole=None, followed=None):
        self.truth = truth
        self.whole = whole
        self.followed = followed
        self.masks = {}
        self.prompts = []

    def add(self, prompt):
        self.prompts.append(prompt)
        key = prompt.object, prompt.slice
        truth = self.truth[prompt.slice]
        if prompt.whole is not None:
            self.masks[key] = self.whole.copy()
            return self._answer(prompt.slice)
        mask = self.masks.setdefault(key, np.zeros_like(truth))
        ((row, col),) = prompt.points
        positive = bool(prompt.labels[0])
        error = truth & ~mask if positive else mask & ~truth
        pieces, _ = label(error, np.ones((3, 3)))
        assert error[int(row), int(col)], "a click beside the error"
        mask[pieces == pieces[int(row), int(col)]] = positive
        return self._answer(prompt.slice)

    def propagate(self, direction="both", *, objects=None):
        assert direction == "both"
        for index, mask in enumerate(self.followed):
            yield SimpleNamespace(slice=index, mask=lambda object_id, m=mask: m)

    def _answer(self, index):
        return SimpleNamespace(
            slice=index, mask=lambda object_id: self.masks[object_id, index].copy()
        )


@pytest.fixture
def oracle():
    return Oracle


@pytest.fixture(scope="session")
def tiny_model() -> LoadedModel:
    """octa-nano with random weights at a small input, all objects called present."""
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=128)
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    return LoadedModel(network, "random", "")


@pytest.fixture(scope="session")
def promptless() -> PromptlessModel:
    """A small network with random weights that tells RV and FAZ apart."""
    torch.manual_seed(0)
    config = NetworkConfig("block-unet", ("RV", "FAZ"), {"channels": [8, 8]})
    return PromptlessModel(PromptlessNetwork(config).eval(), "random", "abc")


@pytest.fixture(scope="session")
def phantom():
    """Image and masks of an en-face phantom."""
    image, masks, _ = make_enface(seed=1, size=SIZE, faz_diameter_mm=0.6)
    return image, masks


@pytest.fixture(scope="session")
def samples(tmp_path_factory, phantom) -> Path:
    """A small folder in the layout of the real samples, drawn from a phantom."""
    folder = tmp_path_factory.mktemp("samples")
    write_maps(folder / "sam-octa-extend/datasets/OCTA-500", *phantom)
    image, masks = phantom
    for below, splits in (
        ("octa500-rv/3M", {"train": "1", "val": "23", "test": "4"}),
        ("octa500-rv/6M", {"val": "5"}),
        ("rossa", {"train_manual": "6", "train_sam": "7", "val": "89"}),
    ):
        for split, names in splits.items():
            for name in names:
                save(folder / below / split / f"image/{name}.png", image)
                save(folder / below / split / f"label/{name}.png", masks["RV"])
    write_sequences(folder / "sam-octa2/datasets/OCTA500", *phantom)
    return folder


def write_maps(folder, image, masks):
    kinds = {
        "GT_FAZ": masks["FAZ"],
        "GT_LargeVessel": masks["RV"],
        "GT_Artery": masks["artery"],
        "GT_Vein": masks["vein"],
        "GT_Capillary": masks["capillary"],
    }
    for field, subjects in SUBJECTS.items():
        for subject in subjects:
            name = f"{subject}.bmp"
            save(folder / field / "ProjectionMaps/OCTA(ILM_OPL)" / name, image)
            for kind, mask in kinds.items():
                save(folder / field / kind / name, mask)


def write_sequences(folder, image, masks):
    pixels = np.repeat(image[..., None], 3, 2)
    faz = np.repeat(as_bytes(masks["FAZ"])[..., None], 3, 2)
    overlay = pixels.copy()
    overlay[masks["RV"]] = (0, 255, 0)
    for depth in LAYERS:
        strip = np.concatenate([pixels, pixels, faz], 1)
        save(folder / f"FAZ_LayerSequence/10301/{depth}.png", strip)
        strip = np.concatenate([faz, pixels, overlay, pixels], 1)
        save(folder / f"RV_LayerSequence/10301/{depth}.png", strip)
    vessels = {0: masks["artery"], 4: masks["vein"]}
    for depth, numbers in zip(LAYERS, ([0], [0, 4], [0]), strict=True):
        layer = folder / f"RV_LayerSequence/10301/{depth}"
        for number in numbers:
            save(layer / f"{number:02d}.png", vessels[number])
        np.save(layer / "objects.npy", np.array(numbers))


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(as_bytes(pixels)).save(path)


def as_bytes(pixels):
    return pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
