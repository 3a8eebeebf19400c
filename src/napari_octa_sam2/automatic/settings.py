"""What is looked for without a click, and how masks are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from napari_octa_sam2.automatic.cleaning import DEFAULTS, Cleaning
from napari_octa_sam2.errors import PromptError


@dataclass(frozen=True)
class FindSettings:
    """What is looked for, and how masks are made of it.

    Parameters
    ----------
    classes : tuple of str
        Of those that the network tells apart. Where one is part of another, such as
        arteries of large vessels, its label wins; else the more probable one does.
    cleaning : mapping of str to Cleaning
        By class; `automatic.cleaning.DEFAULTS` for those that are not named.
    separate : bool
        Whether every connected vessel is an object of its own, with one id through
        all slices (`automatic.tracking.connected_objects`), rather than all of a
        class together.
    least : int
        Fewest pixels of a separate vessel, seen from above.
    views : {1, 8}
        As for `engine.promptless.Predictor`.
    """

    classes: tuple[str, ...] = ("RV",)
    cleaning: Mapping[str, Cleaning] = field(default_factory=dict)
    separate: bool = False
    least: int = 100
    views: int = 1

    def cleaning_of(self, cls: str) -> Cleaning:
        """Return how masks of a class are made."""
        return self.cleaning.get(cls, DEFAULTS[cls])

    def require_known(self, model: str, classes: Sequence[str]) -> None:
        """Raise `PromptError` unless a model tells apart all that is looked for."""
        unknown = [cls for cls in self.classes if cls not in classes]
        if unknown or not self.classes:
            raise PromptError(
                f"{model} finds {', '.join(classes)}: expected some of these, found "
                f"{', '.join(unknown) or 'none'}; choose others, or another model"
            )

    def plain(self) -> dict[str, Any]:
        """Return the settings with every value that was used, ready for JSON."""
        return {
            "classes": list(self.classes),
            "separate": self.separate,
            "least": self.least,
            "views": self.views,
            "cleaning": {
                cls: {
                    key: "all" if value == float("inf") else value
                    for key, value in asdict(self.cleaning_of(cls)).items()
                }
                for cls in self.classes
            },
        }
