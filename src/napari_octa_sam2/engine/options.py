"""What can be chosen of the engine; free of heavy imports, for menus and the shell."""

from napari_octa_sam2.errors import ModelError

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DIRECTIONS = ("both", "forward", "backward")
ATTENTIONS = ("exact", "pooled")


def check_attention(name: str) -> str:
    """Return `name`.

    Raises
    ------
    ModelError
        If memory attention has no such mode.
    """
    if name not in ATTENTIONS:
        raise ModelError(
            f"expected attention of {', '.join(ATTENTIONS)}, found {name!r}"
        )
    return name
