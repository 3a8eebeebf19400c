"""What a project is of, as its ``zarr.json`` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.identity import fingerprint

KEY = "napari-octa-sam2 project"
VERSION = 1


@dataclass(frozen=True)
class About:
    """What a project is of.

    Parameters
    ----------
    name : str
        Of the volume.
    source : str, optional
        File or folder that it was read from.
    shape : (int, int, int)
    fingerprint : str
        `napari_octa_sam2.volume.identity.fingerprint` of the volume.
    geometry : ScanGeometry
    begun : str
        Date and time, ISO 8601.
    """

    name: str
    source: str | None
    shape: tuple[int, int, int]
    fingerprint: str
    geometry: ScanGeometry
    begun: str

    @classmethod
    def of(
        cls, data: np.ndarray, name: str, source: str | None, geometry: ScanGeometry
    ) -> About:
        """Return what is known of a volume ``(depth, slow, fast)``."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        depth, slow, fast = data.shape
        return cls(name, source, (depth, slow, fast), fingerprint(data), geometry, now)

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "version": VERSION,
            "software": __version__,
            "name": self.name,
            "source": self.source,
            "shape": list(self.shape),
            "fingerprint": self.fingerprint,
            "spacing": list(self.geometry.spacing),
            "unit": self.geometry.unit,
            "begun": self.begun,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> About:
        """Return what `to_json` told of.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is malformed, or of another version.
        """
        if content["version"] != VERSION:
            raise ValueError(
                f"expected version {VERSION}, found {content['version']}; the software "
                f"that wrote it was {content['software']}"
            )
        depth, slow, fast = (int(n) for n in content["shape"])
        return cls(
            content["name"],
            content["source"],
            (depth, slow, fast),
            content["fingerprint"],
            ScanGeometry(tuple(content["spacing"]), content["unit"]),
            content["begun"],
        )


def read_about(path: Path) -> About:
    """Return what the project in the folder `path` is of.

    Raises
    ------
    ReadError
        If it is no project, or one of another version.
    """
    try:
        attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
        return About.from_json(attributes[KEY])
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = "none" if isinstance(error, OSError | KeyError) else str(error)
        raise ReadError(
            f"{path}: expected a project (a folder *.octa.zarr with a journal), found "
            f"{found}"
        ) from error


def write_about(path: Path, about: About, record: Mapping[str, Any]) -> None:
    """Write the metadata of the group in one step, with what made its labels."""
    attributes = {KEY: about.to_json(), "record": dict(record)}
    content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    part = path / "zarr.json.part"
    part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    part.replace(path / "zarr.json")
