"""napari-octa-sam2: prompt, propagate and measure vessels in OCT angiography.

The names below are imported when first used, so that ``import napari_octa_sam2`` and
reading a volume load neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_octa_sam2.automatic.finding import find, find_everything
    from napari_octa_sam2.automatic.settings import FindSettings
    from napari_octa_sam2.engine.segment import segment
    from napari_octa_sam2.engine.session import Session
    from napari_octa_sam2.metrics.agreement.graders import agree
    from napari_octa_sam2.metrics.biomarkers.eye import Eye
    from napari_octa_sam2.metrics.biomarkers.measurement import MeasureSettings, measure
    from napari_octa_sam2.metrics.results import Results
    from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
    from napari_octa_sam2.metrics.subjects import Subject, read_subject
    from napari_octa_sam2.model.loading import load_model
    from napari_octa_sam2.model.promptless.model import load_promptless
    from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
    from napari_octa_sam2.volume.geometry import ScanGeometry
    from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
    from napari_octa_sam2.volume.phantom import make_phantom
    from napari_octa_sam2.volume.readers import read_labels, read_volume
    from napari_octa_sam2.volume.writers import write_labels

__version__ = "0.1.0"

__all__ = [
    "Eye",
    "FindSettings",
    "LabelSet",
    "MeasureSettings",
    "OctaVolume",
    "Prompt",
    "PromptObject",
    "PromptSet",
    "Results",
    "ScanGeometry",
    "Session",
    "Subject",
    "__version__",
    "agree",
    "evaluate",
    "find",
    "find_everything",
    "load_model",
    "load_promptless",
    "make_phantom",
    "measure",
    "read_labels",
    "read_subject",
    "read_volume",
    "segment",
    "write_labels",
]

_HOMES = {
    "Eye": "metrics.biomarkers.eye",
    "FindSettings": "automatic.settings",
    "LabelSet": "volume.octa_volume",
    "MeasureSettings": "metrics.biomarkers.measurement",
    "OctaVolume": "volume.octa_volume",
    "Prompt": "prompts",
    "PromptObject": "prompts",
    "PromptSet": "prompts",
    "Results": "metrics.results",
    "ScanGeometry": "volume.geometry",
    "Session": "engine.session",
    "Subject": "metrics.subjects",
    "agree": "metrics.agreement.graders",
    "evaluate": "metrics.segmentation.evaluation",
    "find": "automatic.finding",
    "find_everything": "automatic.finding",
    "load_model": "model.loading",
    "load_promptless": "model.promptless.model",
    "make_phantom": "volume.phantom",
    "measure": "metrics.biomarkers.measurement",
    "read_labels": "volume.readers",
    "read_subject": "metrics.subjects",
    "read_volume": "volume.readers",
    "segment": "engine.segment",
    "write_labels": "volume.writers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
