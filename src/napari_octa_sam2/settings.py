"""What users set on napari's page of preferences, under OCTA SAM 2."""

from __future__ import annotations

from dataclasses import dataclass

from napari_octa_sam2.model.registry import model_names
from napari_octa_sam2.review import DOUBT_THRESHOLD


@dataclass(frozen=True)
class DockSettings:
    """How a new Segment dock begins.

    Parameters
    ----------
    model, device : str
    threshold : float
        Confidence below which a slice is doubtful, 0 to 1.
    autosave_ms : int
        Milliseconds after a change until labels and prompts are written out as well;
        the journal has it at once.
    """

    model: str
    device: str = "auto"
    threshold: float = 1 - DOUBT_THRESHOLD
    autosave_ms: int = 5000


def dock_settings() -> DockSettings:
    """Return the settings, or the usual ones where napari does not know them."""
    try:
        from napari.settings import get_plugin_settings

        chosen = get_plugin_settings("napari-octa-sam2").segment
    except (ImportError, KeyError, AttributeError):
        return DockSettings(model_names()[0])
    name = chosen.model if chosen.model in model_names() else model_names()[0]
    return DockSettings(
        name, chosen.device, chosen.doubtful_below / 100, chosen.autosave * 1000
    )
