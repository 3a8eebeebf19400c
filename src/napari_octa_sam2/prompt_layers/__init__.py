"""Prompts as a user sees them: a layer of clicks and one of shapes.

Each click and shape carries, as features, whose it is and the number of the interaction
(``step``) that it belongs to. So prompts are read back in the order in which they were
made, and what was given together stays together. A class asked for as a whole has no
place to be drawn at; it is kept by the same key.
"""

from napari_octa_sam2.prompt_layers.prompt_layers import PromptLayers

__all__ = ["PromptLayers"]
