"""Labels and prompts of a project as files that other programs read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.project.about import About, write_about
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.volume.encoders import add_labels
from napari_octa_sam2.volume.octa_volume import LabelSet

LABELS = "objects"


@dataclass(frozen=True, eq=False)
class Copies:
    """Labels and prompts of a project at one moment, for other programs."""

    path: Path
    about: About
    document: Document
    record: dict[str, Any]

    def write(self) -> None:
        """Write them beside the journal, in place of older ones.

        Raises
        ------
        WriteError
            If that cannot be done; the journal is not touched.
        """
        prompts = self.document.prompts
        names = {o.id: o.name for o in prompts.objects}
        classes = {o.id: o.cls for o in prompts.objects}
        labels = {LABELS: LabelSet(self.document.volume(), names, classes)}
        staging, old = self.path / ".copies", self.path / ".old"
        try:
            for folder in (staging, old):
                shutil.rmtree(folder, ignore_errors=True)
            add_labels(staging, labels, self.about.geometry)
            if (self.path / "labels").exists():
                (self.path / "labels").rename(old)
            (staging / "labels").rename(self.path / "labels")
            prompts.write(self.path / "prompts.json")
            write_about(self.path, self.about, self.record)
        except (OSError, ValueError) as error:
            raise WriteError(
                f"{self.path}: labels and prompts could not be written there "
                f"({error}); every change is in the journal all the same"
            ) from error
        finally:
            for folder in (staging, old):
                shutil.rmtree(folder, ignore_errors=True)
