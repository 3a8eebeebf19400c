"""SAM 2's own video predictor, as it is, on the slices of a volume.

Its frame loader, which reads JPEG folders and films only, and its progress bar are
bypassed; nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2.engine.device import Compute
from napari_octa_sam2.engine.frames import intensity_window, network_input, windowed
from napari_octa_sam2.prompts import Prompt

# a correction reaches later slices
CORRECTIONS = "++model.add_all_frames_to_correct_as_cond=true"
MODULES = {
    "encode": "image_encoder",
    "recall": "memory_attention",
    "decode": "sam_mask_decoder",
    "remember": "memory_encoder",
}


class StockAnswer(NamedTuple):
    """Mask logits of each object on one slice."""

    slice: int
    logits: Mapping[int, np.ndarray]


def build_predictor(
    config: str, size: int, weights: Mapping[str, Tensor], device: torch.device
) -> Any:
    """Return a ``SAM2VideoPredictor`` of a configuration of the `sam2` package."""
    from sam2.build_sam import build_sam2_video_predictor

    predictor = build_sam2_video_predictor(
        config,
        None,
        device=str(device),
        hydra_overrides_extra=[f"++model.image_size={size}", CORRECTIONS],
    )
    predictor.load_state_dict(weights)
    # PyPI's sam2, without its compiled extension, leaves this out and warns each time
    predictor.fill_hole_area = 0
    return predictor


class StockRun:
    """A predictor with its state on one volume.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    predictor : SAM2VideoPredictor
    precision : str
        That of autocast; fp32 is none.
    """

    def __init__(
        self, data: np.ndarray, predictor: Any, *, precision: str = "fp32"
    ) -> None:
        self.predictor = predictor
        self.device = torch.device(predictor.device)
        self.precision = precision
        frames = _frames(data, predictor.image_size).to(self.device)
        loaded = (frames, *data.shape[1:])
        with (
            _replaced("load_video_frames", lambda **_: loaded),
            self._autocast(),
        ):
            self._state = predictor.init_state(video_path="")

    def click(self, prompt: Prompt) -> StockAnswer:
        """Answer a first click or scribble of an object on a slice."""
        clicks = np.array(prompt.clicks, float)
        with self._autocast():
            _, ids, masks = self.predictor.add_new_points_or_box(
                self._state,
                frame_idx=prompt.slice,
                obj_id=prompt.object,
                points=clicks[:, 1::-1].astype(np.float32),
                labels=clicks[:, 2].astype(np.int32),
            )
        return _answer(prompt.slice, ids, masks)

    def follow(self, start: int | None = None) -> Iterator[StockAnswer]:
        """Follow all objects from a slice on, by default the first prompted one."""
        following = self.predictor.propagate_in_video(
            self._state, start_frame_idx=start
        )
        while True:
            with _replaced("tqdm", lambda order, **_: order), self._autocast():
                found = next(following, None)
            if found is None:
                return
            yield _answer(*found)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(
            self.device.type, Compute(self.device, self.precision).dtype
        )


def _answer(index: int, ids: list[int], masks: Tensor) -> StockAnswer:
    arrays = masks[:, 0].float().cpu().numpy()
    return StockAnswer(index, dict(zip(ids, arrays, strict=True)))


def _frames(data: np.ndarray, size: int) -> Tensor:
    """Return all slices as SAM 2's loader holds them, ``(depth, 3, size, size)``."""
    window = intensity_window(data)
    frames = torch.empty(len(data), 3, size, size)
    for frame, image in zip(frames, data, strict=True):
        frame.copy_(network_input(windowed(image, window), size)[0])
    return frames


@contextmanager
def _replaced(name: str, stand_in: Any) -> Iterator[None]:
    """Let another function stand in for one that the predictor's module imported."""
    from sam2 import sam2_video_predictor as module

    original = getattr(module, name)
    setattr(module, name, stand_in)
    try:
        yield
    finally:
        setattr(module, name, original)
