"""The command line: what the plugin can do, without a window.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

from napari_octa_sam2.cli.app import app
from napari_octa_sam2.cli.bench import bench
from napari_octa_sam2.cli.data import info, phantom
from napari_octa_sam2.cli.environment import doctor
from napari_octa_sam2.cli.evaluation import evaluate
from napari_octa_sam2.cli.measuring import agree, measure
from napari_octa_sam2.cli.models import models
from napari_octa_sam2.cli.segmentation import demo, segment
from napari_octa_sam2.cli.training import train

__all__ = ["app", "main"]

for _command in (
    *(demo, info, segment, evaluate, measure, agree, phantom, doctor, train, bench),
):
    app.command()(_command)
app.add_typer(models, name="models")


def main() -> None:
    """Run the command of ``sys.argv``; exit with 0 done, 1 failed, 2 wrong usage."""
    app()
