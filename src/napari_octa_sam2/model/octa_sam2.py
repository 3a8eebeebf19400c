"""SAM 2 for OCTA: small, prompted by class too, and quick to train from scratch.

Clicks, boxes and classes are also painted onto the image embedding: from a picture of
a click its place is learned long before it is from the Fourier code that SAM 2 gives
its decoder. The painted part starts at zero, so that the network starts as plain SAM 2.

A class prompt ("all large vessels") is a point without a place: its label is
`FIRST_CLASS` plus the index of the class.

A slice without prompts is given the mask of the slice before it as a mask prompt,
beside SAM 2's memory: neighbouring depth slices look alike, and the mask says which
of several like vessels is meant. Unless a whole class was asked for, an object stays
in one piece with its prompts and with the slice before (`model.connected`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from napari_octa_sam2.model.connected import keep_connected

POSITIVE, NEGATIVE, BOX_START, BOX_END, FIRST_CLASS = 1, 0, 2, 3, 4
TOUCH = 2  # cells of the mask's grid
LOGIT_LIMIT = 32.0  # as SAM 2 limits the logits that it is given back


def paint(
    points: Tensor, labels: Tensor, input_size: int, grid: int, classes: int = 0
) -> Tensor:
    """Return pictures of prompts: positive clicks, negative clicks, boxes, classes.

    Parameters
    ----------
    points : Tensor
        (x, y) in pixels of the network's input, shape ``(objects, points, 2)``.
    labels : Tensor
        SAM 2's labels and class prompts, shape ``(objects, points)``; -1 is padding.
    input_size, grid : int
        Side of the input and of the pictures.
    classes : int
        Number of classes.

    Returns
    -------
    Tensor
        Shape ``(objects, 3 + classes, grid, grid)``, 0 to 1: Gaussian spots with a
        standard deviation of 1.5 cells, filled boxes, and ones for a class asked for.
    """
    place = (torch.arange(grid, device=points.device) + 0.5) * (input_size / grid)
    sigma = 1.5 * input_size / grid
    x, y = points[..., 0:1], points[..., 1:2]
    spots = torch.exp(
        -((place - y)[..., :, None] ** 2 + (place - x)[..., None, :] ** 2)
        / (2 * sigma**2)
    )
    pictures = [
        (spots * (labels == kind)[..., None, None]).amax(1)
        for kind in (POSITIVE, NEGATIVE)
    ]
    inside = torch.zeros_like(pictures[0], dtype=torch.bool)
    for first in range(labels.shape[1] - 1):
        is_box = (labels[:, first] == BOX_START) & (labels[:, first + 1] == BOX_END)
        low, high = points[:, first, :, None], points[:, first + 1, :, None]
        within = (place >= low) & (place <= high)
        inside |= is_box[:, None, None] & within[:, 1, :, None] & within[:, 0, None, :]
    wanted = FIRST_CLASS + torch.arange(classes, device=labels.device)
    asked = (labels[..., None] == wanted).any(1).to(spots.dtype)
    return torch.cat(
        [
            torch.stack([*pictures, inside.to(spots.dtype)], 1),
            asked[..., None, None].expand(-1, -1, grid, grid),
        ],
        1,
    )


class OctaPromptEncoder(PromptEncoder):  # type: ignore[misc]
    """SAM 2's prompt encoder with class prompts, and prompts painted as well."""

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        classes: int,
    ) -> None:
        super().__init__(
            embed_dim, image_embedding_size, input_image_size, mask_in_chans
        )
        self.class_embeddings = nn.Embedding(classes, embed_dim)
        self.painting = nn.Sequential(
            nn.Conv2d(3 + classes, 2 * mask_in_chans, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * mask_in_chans, 2 * mask_in_chans, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * mask_in_chans, embed_dim, 1),
        )
        for parameter in self.painting[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return sparse and dense embeddings, as ``PromptEncoder`` does."""
        sparse, dense = super().forward(points, boxes, masks)
        if points is not None:
            size, grid = self.input_image_size[0], self.mask_input_size[0]
            classes = self.class_embeddings.num_embeddings
            dense = dense + self.painting(paint(*points, size, grid, classes))
        return sparse, dense

    def _embed_points(self, points: Tensor, labels: Tensor, pad: bool) -> Tensor:
        embedded: Tensor = super()._embed_points(points, labels, pad)
        index = labels.long() - FIRST_CLASS
        named = self.class_embeddings(index.clamp(min=0))
        given = torch.where(
            (index >= 0)[..., None], named, embedded[:, : labels.shape[1]]
        )
        return torch.cat([given, embedded[:, labels.shape[1] :]], 1)


class OctaSAM2(SAM2Base):  # type: ignore[misc]
    """``SAM2Base`` with an `OctaPromptEncoder`, prompted by the slice before.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes it can be asked for as a whole.
    decoder_width : int
        Hidden channels of the decoder's transformer (SAM 2: 2048).
    """

    connected = True  # single objects are in one piece with what was prompted

    def __init__(
        self, *args: Any, classes: Sequence[str], decoder_width: int, **kwargs: Any
    ) -> None:
        self.classes = tuple(classes)
        self._decoder_width = decoder_width
        super().__init__(*args, **kwargs)

    def _build_sam_heads(self) -> None:
        super()._build_sam_heads()
        side = self.sam_image_embedding_size
        self.sam_prompt_encoder = OctaPromptEncoder(
            embed_dim=self.sam_prompt_embed_dim,
            image_embedding_size=(side, side),
            input_image_size=(self.image_size, self.image_size),
            mask_in_chans=16,
            classes=len(self.classes),
        )
        self.sam_mask_decoder = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=self.sam_prompt_embed_dim,
                mlp_dim=self._decoder_width,
                num_heads=8,
            ),
            transformer_dim=self.sam_prompt_embed_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
            use_high_res_features=self.use_high_res_features_in_sam,
            iou_prediction_use_sigmoid=self.iou_prediction_use_sigmoid,
            pred_obj_scores=self.pred_obj_scores,
            pred_obj_scores_mlp=self.pred_obj_scores_mlp,
            use_multimask_token_for_obj_ptr=self.use_multimask_token_for_obj_ptr,
        )

    def _track_step(
        self,
        frame_idx: int,
        is_init_cond_frame: bool,
        current_vision_feats: list[Tensor],
        current_vision_pos_embeds: list[Tensor],
        feat_sizes: list[tuple[int, int]],
        point_inputs: dict[str, Tensor] | None,
        mask_inputs: Tensor | None,
        output_dict: dict[str, dict[int, Any]],
        num_frames: int,
        track_in_reverse: bool,
        prev_sam_mask_logits: Tensor | None,
    ) -> Any:
        before = frame_idx + 1 if track_in_reverse else frame_idx - 1
        neighbour = _output_of(output_dict, before)
        prompted = point_inputs is not None or mask_inputs is not None
        if prompted or is_init_cond_frame or neighbour is None:
            return super()._track_step(
                frame_idx,
                is_init_cond_frame,
                current_vision_feats,
                current_vision_pos_embeds,
                feat_sizes,
                point_inputs,
                mask_inputs,
                output_dict,
                num_frames,
                track_in_reverse,
                prev_sam_mask_logits,
            )
        features = self._prepare_memory_conditioned_features(
            frame_idx=frame_idx,
            is_init_cond_frame=False,
            current_vision_feats=current_vision_feats[-1:],
            current_vision_pos_embeds=current_vision_pos_embeds[-1:],
            feat_sizes=feat_sizes[-1:],
            output_dict=output_dict,
            num_frames=num_frames,
            track_in_reverse=track_in_reverse,
        )
        fine = [
            tokens.permute(1, 2, 0).view(tokens.size(1), tokens.size(2), *size)
            for tokens, size in zip(
                current_vision_feats[:-1], feat_sizes[:-1], strict=True
            )
        ]
        outputs = self._forward_sam_heads(
            backbone_features=features,
            mask_inputs=neighbour["pred_masks"].clamp(-LOGIT_LIMIT, LOGIT_LIMIT),
            high_res_features=fine,
            multimask_output=False,
            whole=neighbour.get("whole", False),
        )
        return {"point_inputs": None, "mask_inputs": None}, outputs, fine, features

    def _forward_sam_heads(
        self,
        backbone_features: Tensor,
        point_inputs: dict[str, Tensor] | None = None,
        mask_inputs: Tensor | None = None,
        high_res_features: list[Tensor] | None = None,
        multimask_output: bool = False,
        whole: bool | Tensor = False,
    ) -> tuple[Tensor, ...]:
        """As in ``SAM2Base``; `whole` says which objects are whole classes."""
        outputs: list[Tensor] = list(
            super()._forward_sam_heads(
                backbone_features,
                point_inputs,
                mask_inputs,
                high_res_features,
                multimask_output,
            )
        )
        seeds = self._seeds(point_inputs, mask_inputs)
        if seeds is not None:
            masks = outputs[3]
            everything = torch.as_tensor(whole, device=masks.device).expand(len(masks))
            if point_inputs is not None:
                classes = point_inputs["point_labels"] >= FIRST_CLASS
                everything = everything | classes.any(1)
            # a whole class has nothing to hold on to, so that nothing is left out
            seeds = seeds & ~everything[:, None, None, None]
            ends = ~everything & (point_inputs is None)
            outputs[3] = keep_connected(masks, seeds, TOUCH, may_end=ends)
            size = (self.image_size, self.image_size)
            outputs[4] = F.interpolate(
                outputs[3], size=size, mode="bilinear", align_corners=False
            )
        return tuple(outputs)

    def _seeds(
        self, point_inputs: dict[str, Tensor] | None, mask_inputs: Tensor | None
    ) -> Tensor | None:
        """Return where the object is known to be, ``(objects, 1, grid, grid)``."""
        grid = self.sam_prompt_encoder.mask_input_size
        seeds = None
        if mask_inputs is not None:
            given = F.interpolate(mask_inputs.float(), grid, mode="bilinear")
            seeds = given > 0
        if point_inputs is not None:
            positive, _, boxes = paint(
                point_inputs["point_coords"],
                point_inputs["point_labels"],
                self.image_size,
                grid[0],
            ).unbind(1)
            marked = ((positive > 0.5) | (boxes > 0))[:, None]
            seeds = marked if seeds is None else seeds | marked
        return seeds


def _output_of(output_dict: dict[str, dict[int, Any]], index: int) -> Any:
    """Return what was found on a slice, or None."""
    for held in ("cond_frame_outputs", "non_cond_frame_outputs"):
        if index in output_dict[held]:
            return output_dict[held][index]
    return None
