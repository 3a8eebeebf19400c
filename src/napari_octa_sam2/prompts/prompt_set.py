"""The prompts of a volume and the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.prompts.fields import flag, integer
from napari_octa_sam2.prompts.objects import PromptObject
from napari_octa_sam2.prompts.records import Prompt
from napari_octa_sam2.prompts.suppression import suppressed
from napari_octa_sam2.volume.geometry import AXES

VERSION = 1


@dataclass(frozen=True)
class PromptSet:
    """Objects and their prompts, in the order in which they were given.

    Parameters
    ----------
    objects : tuple of PromptObject
    prompts : tuple of Prompt
        Objects that are not among `objects` are added to them.
    locks : frozenset of (object, slice)
        Masks that were verified.
    suppress : bool
        Whether positive clicks of an object are negative ones of all others.

    Raises
    ------
    PromptError
        If ids occur twice, or a lock is of no object or no slice.
    """

    objects: tuple[PromptObject, ...] = ()
    prompts: tuple[Prompt, ...] = field(default_factory=tuple)
    locks: frozenset[tuple[int, int]] = frozenset()
    suppress: bool = False

    def __post_init__(self) -> None:
        ids = [o.id for o in self.objects]
        if doubles := sorted({i for i in ids if ids.count(i) > 1}):
            raise PromptError(f"object ids {doubles} occur more than once")
        missing = {p.object for p in self.prompts} - set(ids)
        if missing:
            objects = (*self.objects, *(PromptObject(i) for i in sorted(missing)))
            object.__setattr__(self, "objects", objects)
        known = {o.id for o in self.objects}
        for object_id, index in sorted(self.locks):
            if object_id not in known or index < 0:
                raise PromptError(
                    f"the lock of object {object_id} on slice {index}: expected one "
                    f"of the objects {sorted(known)} and a slice from 0; remove it"
                )

    def by_slice(self) -> dict[tuple[int, int], list[Prompt]]:
        """Return the prompts of each ``(object, slice)``, in order.

        With `suppress`, those of cross suppression come last.
        """
        groups: dict[tuple[int, int], list[Prompt]] = {}
        for prompt in self.prompts:
            groups.setdefault((prompt.object, prompt.slice), []).append(prompt)
        return suppressed(groups) if self.suppress else groups

    def require_usable(self, shape: tuple[int, int, int]) -> None:
        """Raise `PromptError` unless every object can be segmented in `shape`."""
        if not self.prompts:
            raise PromptError("no prompt: click on an object or add prompts first")
        for prompt in self.prompts:
            prompt.check_inside(shape)
        for object_id, index in sorted(self.locks):
            if index >= shape[0]:
                raise PromptError(
                    f"the lock of object {object_id} on slice {index}: expected a "
                    f"slice from 0 to {shape[0] - 1} of this volume; remove it"
                )
        for obj in self.objects:
            if not any(p.positive for p in self.prompts if p.object == obj.id):
                raise PromptError(
                    f"object {obj.id} ({obj.name}) has no positive prompt: click on it "
                    "on a slice where it is seen, or remove the object"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the content of the prompt file."""
        content: dict[str, Any] = {
            "version": VERSION,
            "axes": list(AXES),
            "objects": [o.to_json() for o in self.objects],
            "prompts": [p.to_json() for p in self.prompts],
        }
        if self.locks:
            content["locks"] = [list(lock) for lock in sorted(self.locks)]
        if self.suppress:
            content["suppress"] = True
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PromptSet:
        """Return the prompts of a decoded prompt file."""
        if not isinstance(content, Mapping):
            raise PromptError(
                f"expected a JSON object with 'prompts', found {type(content).__name__}"
            )
        if content.get("version") != VERSION:
            raise PromptError(
                f"expected a prompt file of version {VERSION}, "
                f"found {content.get('version')!r}"
            )
        if list(content.get("axes", AXES)) != list(AXES):
            raise PromptError(
                f"expected axes {list(AXES)}, found {content.get('axes')!r}"
            )
        try:
            objects = tuple(map(PromptObject.from_json, content.get("objects", ())))
            prompts = tuple(map(Prompt.from_json, content.get("prompts", ())))
            locks = frozenset(
                (integer(object_id), integer(index))
                for object_id, index in content.get("locks", ())
            )
            suppress = flag(content.get("suppress", False))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, PromptError):
                raise
            raise PromptError(
                f"malformed prompt file: {type(error).__name__} {error}"
            ) from error
        return cls(objects, prompts, locks, suppress)

    def write(self, path: str | Path) -> None:
        """Write the prompt file; an existing one is replaced in one step."""
        write_whole(Path(path), json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> PromptSet:
        """Read a prompt file.

        Raises
        ------
        PromptError
            If the file is missing, empty, no JSON, or not as the format says.
        """
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"cannot read the prompt file {path}: {error}") from error
        if not text.strip():
            raise PromptError(f"{path}: the prompt file is empty")
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise PromptError(
                f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: "
                f"{error.msg}"
            ) from error
        try:
            return cls.from_json(content)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from error
