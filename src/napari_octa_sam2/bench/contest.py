"""The network, and who runs it: stock SAM 2 where it can, else the plain engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch

from napari_octa_sam2.bench.engine import EngineRun
from napari_octa_sam2.bench.runs import Run
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.bench.stock import StockRun, build_predictor
from napari_octa_sam2.engine.device import Compute, choose_compute
from napari_octa_sam2.model.download import is_available
from napari_octa_sam2.model.loading import LoadedModel, build_network, load_model
from napari_octa_sam2.model.registry import get_entry

PRESENT = 4.0  # bias of the object score, else random weights call all objects absent
Start = Callable[[np.ndarray], Run]


def has_weights(settings: Settings) -> bool:
    """Whether the checkpoint is used, not random weights."""
    return not settings.random and is_available(get_entry(settings.model))


def load(settings: Settings, size: int) -> LoadedModel:
    """Return the network at an input size; with random weights if need be."""
    if has_weights(settings):
        return load_model(settings.model, input_size=size)
    torch.manual_seed(settings.seed)
    network = build_network(get_entry(settings.model).config, input_size=size)
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(PRESENT)
    return LoadedModel(network, f"{settings.model} with random weights", "")


def reference_name(settings: Settings) -> str:
    """Return what the engine is compared with."""
    if settings.has_stock:
        return f"sam2 {version('sam2')} in {_stock_precision(settings)}"
    return "the engine in fp32 with exact attention"


@dataclass(frozen=True, eq=False)
class Engine:
    """The engine with its network, ready for any volume."""

    settings: Settings
    model: LoadedModel

    @property
    def fill(self) -> int:
        """Slices until the memory bank is full, and one more to warm up."""
        return int(self.model.network.num_maskmem) + 1

    def open(self, data: np.ndarray) -> EngineRun:
        """Return a session on a volume ``(depth, slow, fast)``."""
        megabytes = self.settings.feature_mb
        return EngineRun(
            data,
            self.model,
            device=self.settings.device,
            precision=self.settings.precision,
            attention=self.settings.attention,
            feature_bytes=megabytes and megabytes * 10**6,
        )


def prepare_engine(settings: Settings, size: int) -> Engine:
    """Return the engine with its network at an input size."""
    model = load(settings, size)
    model.network.to(_compute(settings).device)
    return Engine(settings, model)


def prepare_reference(settings: Settings, size: int) -> Start:
    """Return what opens the reference, with its own network, on a volume."""
    model = load(settings, size)
    if not settings.has_stock:
        return lambda data: EngineRun(
            data, model, device=settings.device, precision="fp32"
        )
    config = get_entry(settings.model).config
    weights = model.network.state_dict()
    predictor = build_predictor(config, size, weights, _compute(settings).device)
    precision = _stock_precision(settings)
    return lambda data: StockRun(data, predictor, precision=precision)


def _stock_precision(settings: Settings) -> str:
    """Return fp32 on a CPU; on a GPU the session's, as SAM 2's examples do."""
    compute = _compute(settings)
    return compute.precision if compute.device.type == "cuda" else "fp32"


def _compute(settings: Settings) -> Compute:
    return choose_compute(settings.device, settings.precision)
