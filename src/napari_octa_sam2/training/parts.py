"""Which weights are trained, at which rate, and how they are kept apart."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.adapters import adapter_state, attach, drop
from napari_octa_sam2.model.tuned import ADAPTER
from napari_octa_sam2.model.tuned import HEAD as HEAD_KEYS
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.config import TrainedConfig
from napari_octa_sam2.training.features import FeatureMemo
from napari_octa_sam2.training.learner import Learner
from napari_octa_sam2.training.walk import Parts

# Names of modules and parameters of SAM 2 that belong to a part.
PARTS: dict[str, tuple[str, ...]] = {
    "mask_decoder": ("sam_mask_decoder.",),
    "prompt_encoder": ("sam_prompt_encoder.",),
    "memory": (
        "memory_attention.",
        "memory_encoder.",
        "obj_ptr_proj.",
        "obj_ptr_tpos_proj.",
        "mask_downsample.",
        "maskmem_tpos_enc",
        "no_mem_embed",
        "no_mem_pos_enc",
        "no_obj_ptr",
        "no_obj_embed_spatial",
    ),
    "neck": ("image_encoder.neck.",),
    "encoder": ("image_encoder.trunk.",),
    "network": ("",),
}
ADAPTERS = "adapters"
HEAD = "refinement"
MEMORY = ("memory",)  # what `FitConfig.separate_updates` moves by followed slices


class Trained(Learner):
    """A network with its head, of which some weights are trained.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
        Adapters are put into it.
    refinement : RefinementHead or None
    config : TrainedConfig
    dense : bool
        Whether whole classes are learned from the encoder's features as well.

    Raises
    ------
    TrainingError
        If a part is unknown, or there is nothing to train.
    """

    def __init__(
        self, network: Any, refinement: Any, config: TrainedConfig, *, dense: bool
    ) -> None:
        super().__init__()
        self.network, self.refinement, self.config = network, refinement, config
        self.batch_statistics = config.batch_statistics
        network.requires_grad_(False)
        if refinement is not None:
            refinement.requires_grad_(False)
        self.adapters = frozenset(attach(network, config.adapter))
        self.groups = self._groups(self.adapters)
        for _, group in self.groups.values():
            for weight in group:
                weight.requires_grad_(True)
        self.memo: FeatureMemo | None = None
        self.dense_head = None
        if dense and ({"encoder", "neck", "network"} & config.parts.keys()):
            self.dense_head = dense_head_for(network)
            rate = max(config.parts.values())
            self.groups["dense head"] = (rate, list(self.dense_head.parameters()))
        self.keys = frozenset(self.changing())

    @property
    def parts(self) -> Parts:
        """What a walk needs."""
        return Parts(self.network, self.refinement, self.dense_head, self.memo)

    def keep_features(self, megabytes: float) -> None:
        """Make the features of each slice once, if the encoder is not trained."""
        encoder = self.network.image_encoder
        if megabytes and not any(p.requires_grad for p in encoder.parameters()):
            self.memo = FeatureMemo(megabytes)

    def parameters_of(self, memory: bool) -> list[nn.Parameter]:
        """Return the trained weights of the memory, or all the others."""
        return [
            weight
            for name, (_, group) in self.groups.items()
            if (name in MEMORY) == memory
            for weight in group
        ]

    def set_training(self, mode: bool) -> None:
        """Switch between training and use; what is not trained is always in use."""
        super().set_training(mode)
        for part in self.network.children():
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()

    def changed(self, network: Any, refinement: Any) -> dict[str, Tensor]:
        """Return what training changed, as `model.tuned.write_tuned` takes it.

        Parameters
        ----------
        network, refinement
            The model that was begun with.
        """
        own = copy.deepcopy(self.network)
        drop(own)
        pairs = [("", own, network)]
        if self.refinement is not None:
            pairs.append((HEAD_KEYS, self.refinement, refinement))
        adapters = adapter_state(self.network)
        changed = {ADAPTER + key: value for key, value in adapters.items()}
        for prefix, trained, before in pairs:
            known = {} if before is None else before.state_dict()
            for key, value in trained.state_dict().items():
                if key not in known or not torch.equal(value.cpu(), known[key].cpu()):
                    changed[prefix + key] = value
        return changed

    def _groups(self, adapters: frozenset[str]) -> dict[str, tuple[float, list[Any]]]:
        groups: dict[str, tuple[float, list[Any]]] = {}
        taken: set[str] = set()
        named = dict(self.network.named_parameters())
        order = sorted(self.config.parts, key=lambda part: part == "network")
        for part in order:
            rate = self.config.parts[part]
            if part == ADAPTERS:
                own = set(adapters)
            elif part == HEAD:
                groups[part] = rate, self._head_parameters()
                continue
            elif part in PARTS:
                own = {n for n in named if n.startswith(PARTS[part])} - adapters
            else:
                raise TrainingError(
                    f"expected parts of {', '.join([ADAPTERS, HEAD, *PARTS])}, "
                    f"found {part!r}"
                )
            if not own:
                raise TrainingError(
                    f"there are no {part} to train in this network; leave "
                    f"trained.parts.{part} out, or choose an adapter"
                )
            groups[part] = rate, [named[n] for n in named if n in own - taken]
            taken |= own
        if adapters and ADAPTERS not in self.config.parts:
            raise TrainingError(
                "expected a learning rate for the adapters, found none; give "
                "trained.parts.adapters"
            )
        if not any(group for _, group in groups.values()):
            raise TrainingError("expected something to train; give trained.parts")
        return groups

    def _head_parameters(self) -> list[Any]:
        if self.refinement is None:
            raise TrainingError(
                "this model has no refinement head to train; leave "
                "trained.parts.refinement out, or train one with the recipe refinement"
            )
        return list(self.refinement.parameters())


def dense_head_for(network: Any) -> nn.Module:
    """Return a linear map from a network's finest features to all classes."""
    channels = network.sam_mask_decoder.conv_s0.out_channels
    return nn.Conv2d(channels, len(SEGMENTABLE), 1)
