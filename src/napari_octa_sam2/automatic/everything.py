"""Everything in a slice: a grid of points, each prompted alone.

What SAM 2's "everything" mode does (Kirillov et al., "Segment Anything", ICCV 2023),
on the passes of the engine. Candidates are sifted on the decoder's grid, and only what
is left is brought to the slice's own resolution, as the viewer shows an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2.automatic.candidates import (
    REFINED,
    EverythingSettings,
    Found,
    as_labels,
    different,
)
from napari_octa_sam2.engine.device import Compute, compute_for
from napari_octa_sam2.engine.feature_cache import FeatureCache
from napari_octa_sam2.engine.features import SliceFeatures
from napari_octa_sam2.engine.memory import SliceOutput
from napari_octa_sam2.engine.passes import Passes
from napari_octa_sam2.engine.prompting import Grid
from napari_octa_sam2.engine.slices import Slices
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.model.connected import keep_connected
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.model.octa_sam2 import TOUCH
from napari_octa_sam2.model.prompt_encoder import POSITIVE
from napari_octa_sam2.model.refinement import FAINT
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.volume.octa_volume import check_volume_array

__all__ = ["Everything", "EverythingSettings", "Found", "as_labels"]

SHOWN_TOGETHER = 16  # masks between two looks at whether to go on


class Candidates(NamedTuple):
    """Masks on the decoder's grid.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``.
    scores, stability : Tensor
        Predicted IoU, and IoU of the masks at two logits, shape ``(n,)``.
    points : Tensor
        (row, col) that were prompted, shape ``(n, 2)``.
    """

    logits: Tensor
    scores: Tensor
    stability: Tensor
    points: Tensor

    def of(self, chosen: Tensor | slice | list[int]) -> Candidates:
        """Return some of them."""
        return Candidates(*(values[chosen] for values in self))


class Everything:
    """What a network finds in the slices of a volume without being asked.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    model : LoadedModel
    device, precision : str
        As for `napari_octa_sam2.engine.device.compute_for`.
    feature_bytes : int
        Most bytes of image features to keep in memory.

    Raises
    ------
    VolumeError
        If `data` is no three-dimensional real array.
    ModelError
        If the device is not there.
    """

    def __init__(
        self,
        data: np.ndarray,
        model: LoadedModel,
        *,
        device: str = "auto",
        precision: str = "auto",
        feature_bytes: int = 1 << 27,
    ) -> None:
        check_volume_array(data, "volume")
        compute = compute_for(model.network, device, precision)
        grid = Grid(*data.shape)
        self._passes = Passes(model.network, model.refinement, compute, grid)
        self._slices = Slices(data, self._passes, FeatureCache(feature_bytes))

    @property
    def compute(self) -> Compute:
        """Device and precision in use."""
        return self._passes.compute

    @property
    def usual(self) -> EverythingSettings:
        """Settings that suit the model: SAM 2's, or those for a refinement head."""
        return EverythingSettings() if self._passes.refinement is None else REFINED

    @torch.inference_mode()
    def on_slice(
        self,
        index: int,
        settings: EverythingSettings | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Found]:
        """Return the objects of a slice, the highest score first.

        Parameters
        ----------
        index : int
        settings : EverythingSettings, optional
            By default the `usual` ones.
        progress : callable, optional
            Called with the points done and their total.
        cancelled : callable, optional
            Asked between batches; once it is True, nothing is returned.

        Raises
        ------
        PromptError
            If the slice is not in the volume.
        """
        slices = self._passes.grid.slices
        if not 0 <= index < slices:
            raise PromptError(f"expected a slice from 0 to {slices - 1}, found {index}")
        settings = settings or self.usual
        points, features = self._points(index, settings), self._slices.features(index)
        sifted: list[Candidates] = []
        for first in range(0, len(points), settings.batch):
            if cancelled is not None and cancelled():
                return []
            chunk = points[first : first + settings.batch]
            sifted.append(self._sift(features, chunk, settings))
            if progress is not None:
                progress(first + len(chunk), len(points))
        if not sifted:
            return []
        left = Candidates(*(torch.cat(parts) for parts in zip(*sifted, strict=True)))
        masks, scores = (left.logits > 0).cpu().numpy(), left.scores.cpu().numpy()
        kept = different(masks, scores, settings.most_overlap, settings.overlap)
        return self._shown(index, left.of(kept), settings, cancelled)

    def _points(self, index: int, settings: EverythingSettings) -> Tensor:
        """Return the (row, col) to prompt, the middles of a grid's cells, ``(n, 2)``.

        A refinement head says which of them are on the classes that are wanted.
        """
        grid, reading = self._passes.grid, self._slices.reading(index)
        middles = torch.arange(settings.points_per_side) + 0.5
        middles /= settings.points_per_side
        points = torch.cartesian_prod(middles * grid.rows, middles * grid.cols)
        points = points.to(self.compute.device)
        if reading is None or not settings.classes:
            return points
        wanted = [SEGMENTABLE.index(name) for name in settings.classes]
        rows, cols = points.long().unbind(1)
        return points[(reading.classes[0, wanted][:, rows, cols] > FAINT).any(0)]

    def _sift(
        self, features: SliceFeatures, points: Tensor, settings: EverythingSettings
    ) -> Candidates:
        """Return the masks for single points that are sure, stable and of good size."""
        logits, scores = self._decoded(features, points)
        good = scores > settings.least_iou
        logits, points = logits[good], points[good.nonzero()[:, 0]]
        if getattr(self._passes.network, "connected", False):
            seeds = self._passes.network._seeds(self._inputs(points), None)
            logits = keep_connected(logits[:, None], seeds, TOUCH)[:, 0]
        stability = _stability(logits, settings.stability_offset)
        area = (logits > 0).flatten(1).sum(1)
        rows, cols = logits.shape[1:]
        fit = (area > 0) & (area <= settings.most_area * rows * cols)
        if self._passes.refinement is None:
            fit &= stability >= settings.least_stability
        return Candidates(logits, scores[good], stability, points).of(fit)

    def _decoded(
        self, features: SliceFeatures, points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits ``(points, masks, rows, columns)`` and predicted IoUs."""
        network = self._passes.network
        given = self._inputs(points)
        sparse, dense = network.sam_prompt_encoder(
            points=(given["point_coords"], given["point_labels"]),
            boxes=None,
            masks=None,
        )
        *fine, seen = (
            tokens.float().permute(1, 2, 0).unflatten(2, size)
            for tokens, size in zip(features.tokens, features.sizes, strict=True)
        )
        logits, scores, _, _ = network.sam_mask_decoder(
            image_embeddings=seen + network.no_mem_embed.view(1, -1, 1, 1),
            image_pe=network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=True,
            high_res_features=fine,
        )
        return logits.float(), scores.float()

    def _inputs(self, points: Tensor) -> dict[str, Tensor]:
        grid, side = self._passes.grid, self._passes.network.image_size
        xy = points.flip(1) / points.new_tensor([grid.cols, grid.rows]) * side
        labels = torch.full((len(xy), 1), POSITIVE, device=xy.device, dtype=torch.int32)
        return {"point_coords": xy[:, None], "point_labels": labels}

    def _shown(
        self,
        index: int,
        chosen: Candidates,
        settings: EverythingSettings,
        cancelled: Callable[[], bool] | None,
    ) -> list[Found]:
        """Return masks of the slice's resolution that differ there as well."""
        found: list[Found] = []
        for first in range(0, len(chosen.scores), SHOWN_TOGETHER):
            if cancelled is not None and cancelled():
                return []
            chunk = chosen.of(slice(first, first + SHOWN_TOGETHER))
            shown = self._passes.show(_outputs(chunk), self._slices.reading(index))
            found += self._found(torch.cat(shown)[:, 0], chunk, settings)
        if not found:
            return []
        found.sort(key=lambda f: -f.score)
        masks, scores = np.stack([f.mask for f in found]), [f.score for f in found]
        most = settings.most_overlap
        kept = different(masks, np.array(scores), most, settings.overlap)
        return [found[i] for i in kept]

    def _found(
        self, logits: Tensor, chunk: Candidates, settings: EverythingSettings
    ) -> Iterator[Found]:
        """Yield the objects among masks ``(n, slow, fast)``."""
        stability, scores = chunk.stability, chunk.scores
        if self._passes.refinement is not None:
            scores = stability = _stability(logits, settings.stability_offset)
        masks = (logits > 0).cpu().numpy()
        largest = settings.most_area * masks[0].size
        for mask, *numbers, point in zip(
            masks,
            scores.tolist(),
            stability.tolist(),
            chunk.points.tolist(),
            strict=True,
        ):
            score, stable = numbers
            of_size = settings.min_area <= mask.sum() <= largest
            if of_size and stable >= settings.least_stability:
                yield Found(mask, score, stable, (point[0], point[1]))


def _stability(logits: Tensor, offset: float) -> Tensor:
    """Return the IoU of the masks at two logits, shape ``(n,)``."""
    inner, outer = ((logits > at).flatten(1).sum(1) for at in (offset, -offset))
    return inner / outer.clamp(min=1)


def _outputs(chosen: Candidates) -> list[SliceOutput]:
    """Return candidates as the answers to clicks."""
    blank = chosen.logits.new_zeros(1, 1)
    return [
        SliceOutput(
            logits[None, None], blank, blank, score, clicks=((row, col, POSITIVE),)
        )
        for logits, score, (row, col) in zip(
            chosen.logits, chosen.scores.tolist(), chosen.points.tolist(), strict=True
        )
    ]
