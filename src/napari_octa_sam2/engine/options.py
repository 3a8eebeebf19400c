"""What can be chosen of the engine; free of heavy imports, for menus and the shell."""

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DIRECTIONS = ("both", "forward", "backward")
