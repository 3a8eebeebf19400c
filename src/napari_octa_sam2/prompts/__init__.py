"""Prompt records and their file format.

A `Prompt` is one interaction with one object on one slice. Several prompts on the
same slice are successive interactions, in order: each refines the mask of the one
before, as SAM 2 is trained for. So the same file gives the same masks in the
viewer and in the shell.
"""

from napari_octa_sam2.prompts.from_labels import centre_line_prompt, mask_prompts
from napari_octa_sam2.prompts.masks import decode_mask, encode_mask
from napari_octa_sam2.prompts.objects import CLASSES, SEGMENTABLE, PromptObject
from napari_octa_sam2.prompts.prompt_set import VERSION, PromptSet
from napari_octa_sam2.prompts.records import Prompt
from napari_octa_sam2.prompts.scribbles import Scribble, resample

__all__ = [
    "CLASSES",
    "SEGMENTABLE",
    "VERSION",
    "Prompt",
    "PromptObject",
    "PromptSet",
    "Scribble",
    "centre_line_prompt",
    "decode_mask",
    "encode_mask",
    "mask_prompts",
    "resample",
]
