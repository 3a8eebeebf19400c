"""The command line: everything the plugin can do, without a window."""

from __future__ import annotations

from napari_octa_sam2.cli import data, doctor, models, segmentation, training
from napari_octa_sam2.cli.app import app

__all__ = ["app", "main"]

for _commands in (segmentation, data, models, training, doctor):
    _commands.register(app)


def main() -> None:
    """Run the command of ``sys.argv``; exit with 0 done, 1 failed, 2 wrong usage."""
    app()
