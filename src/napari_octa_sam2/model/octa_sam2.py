"""SAM 2 for OCTA: small, prompted by class too, and quick to train from scratch.

A slice without prompts is given the mask of the slice before it as a mask prompt,
beside SAM 2's memory: neighbouring depth slices look alike, and the mask says which
of several like vessels is meant. Unless a whole class was asked for, an object stays
in one piece with its prompts and with the slice before (`model.connected`). Where there
is a refinement head, what it made of a slice is remembered and handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from napari_octa_sam2.model.connected import keep_connected
from napari_octa_sam2.model.prompt_encoder import (
    FIRST_CLASS,
    LOGIT_LIMIT,
    OctaPromptEncoder,
    paint,
)

TOUCH = 2  # cells of the mask's grid


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
    remembers_refined = True  # memory is of the masks that are shown
    precision = "fp32"  # vessels of a few pixels, and single pieces, hang on digits

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
        outputs = self.follow(
            features, fine, neighbour["pred_masks"], neighbour.get("whole", False)
        )
        return {"point_inputs": None, "mask_inputs": None}, outputs, fine, features

    def follow(
        self,
        features: Tensor,
        fine: list[Tensor],
        before: Tensor,
        whole: bool | Tensor,
    ) -> tuple[Tensor, ...]:
        """Return what ``_forward_sam_heads`` does, for a slice without prompts.

        Parameters
        ----------
        features : Tensor
            Of the slice, as the memory shows them, ``(objects, channels, h, w)``.
        fine : list of Tensor
            Its finer features.
        before : Tensor
            Logits of the masks on the slice before.
        whole : bool or Tensor
            Which objects are whole classes.
        """
        return self._forward_sam_heads(
            backbone_features=features,
            mask_inputs=before.clamp(-LOGIT_LIMIT, LOGIT_LIMIT),
            high_res_features=fine,
            multimask_output=False,
            whole=whole,
        )

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
        seeds = self._seeds(point_inputs, mask_inputs) if self.connected else None
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
