"""What is segmented: objects and their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts.fields import flag, integer

# "capillary" is the mesh between the large vessels, "vessel" all of them together.
CLASSES = ("RV", "artery", "vein", "capillary", "vessel", "FAZ", "other")
SEGMENTABLE = CLASSES[:-1]


@dataclass(frozen=True)
class PromptObject:
    """An object to segment.

    Parameters
    ----------
    id : int
        Its label value, 1 to 65535.
    name : str
        By default "object" and the id.
    cls : str
        One of `CLASSES`.
    locked : bool
        Whether its mask is finished, and nothing may change it.

    Raises
    ------
    PromptError
        If the id or the class is none.
    """

    id: int
    name: str = ""
    cls: str = "other"
    locked: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.id <= 65535:
            raise PromptError(f"expected an object id from 1 to 65535, found {self.id}")
        if self.cls not in CLASSES:
            raise PromptError(
                f"object {self.id}: expected a class of {', '.join(CLASSES)}, "
                f"found {self.cls!r}"
            )
        if not self.name:
            object.__setattr__(self, "name", f"object {self.id}")

    def to_json(self) -> dict[str, Any]:
        """Return the object as the prompt file holds it."""
        record: dict[str, Any] = {"id": self.id, "name": self.name, "class": self.cls}
        if self.locked:
            record["locked"] = True
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PromptObject:
        """Return the object of a record of the prompt file.

        Raises
        ------
        PromptError
            If the record has values that no object can have.
        KeyError, TypeError
            If it is malformed.
        """
        return cls(
            id=integer(record["id"]),
            name=str(record.get("name", "")),
            cls=str(record.get("class", "other")),
            locked=flag(record.get("locked", False)),
        )
