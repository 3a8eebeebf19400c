"""What a benchmark is asked to measure; free of heavy imports, for the shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from napari_octa_sam2.engine.options import DEVICES, PRECISIONS, check_attention
from napari_octa_sam2.errors import ModelError, OctaError
from napari_octa_sam2.model.registry import get_entry

CASE_NAMES = (
    "speed",
    "clicks",
    "second-pass",
    "absent",
    "memory",
    "roofline",
    "gpu",
    "training",
    "metrics",
)
QUICK = ("speed", "clicks", "roofline")
SIZE_STEP = 64
LOWEST = {
    "objects": 1,
    "slices": 4,
    "repeats": 1,
    "sample": 1,
    "pixels": 32,
    "limit": 0,
    "feature_mb": 0,
    "threads": 1,
}
SECOND_PASS_SLICES = (64,)
MEMORY_SLICES = (16, 64, 256, 640)


@dataclass(frozen=True)
class Settings:
    """What to measure, on what, and how often.

    Parameters
    ----------
    model : str
        A name of the registry.
    random : bool
        Random weights even where the checkpoint is on disk.
    cases : tuple of str
        Some of `CASE_NAMES`.
    sizes : tuple of int
        Sides of the network's input, multiples of 64.
    objects : tuple of int
        Numbers of objects that are followed at once.
    slices : tuple of int, optional
        Numbers of slices of the cases second-pass, memory, training and metrics; by
        default `SECOND_PASS_SLICES`, `MEMORY_SLICES`, `bench.training.SLICES` and
        `bench.metrics.SLICES`.
    repeats : int
        Timed slices, or cold clicks, of each figure.
    sample : int, optional
        Time only so many slices of the reference's second pass, and scale.
    pixels : int
        Rows and columns of a slice.
    limit : float
        Minutes that a point of the case memory may be expected to take.
    feature_mb : int, optional
        Budget of the engine's image features in units of 10^6 bytes; by default the
        session's own.
    threads : int, optional
        By default those that torch takes.
    device, precision : str
        As for `napari_octa_sam2.engine.device.choose_compute`.
    attention : {"exact", "pooled"}
        Of the engine.
    seed : int
        Of random weights, slices and clicks.
    """

    model: str = "sam2.1_hiera_tiny"
    random: bool = False
    cases: tuple[str, ...] = QUICK
    sizes: tuple[int, ...] = (512,)
    objects: tuple[int, ...] = (1, 4)
    slices: tuple[int, ...] | None = None
    repeats: int = 5
    sample: int | None = None
    pixels: int = 304
    limit: float = 10.0
    feature_mb: int | None = None
    threads: int | None = None
    device: str = "auto"
    precision: str = "auto"
    attention: str = "exact"
    seed: int = 0

    @property
    def has_stock(self) -> bool:
        """Whether the `sam2` package has the network, and can be compared with."""
        return get_entry(self.model).url is not None

    def check(self) -> None:
        """Raise `OctaError` if something cannot be measured as asked."""
        get_entry(self.model)
        check_attention(self.attention)
        _require_known("case", self.cases, CASE_NAMES)
        _require_known("device", (self.device.partition(":")[0],), DEVICES)
        _require_known("precision", (self.precision,), PRECISIONS)
        for size in self.sizes:
            if size < SIZE_STEP or size % SIZE_STEP:
                raise ModelError(
                    f"expected input sizes that are multiples of {SIZE_STEP}, found "
                    f"{size}; choose such as 512 or 1024"
                )
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and number < lowest:
                    raise OctaError(
                        f"expected {name} of at least {lowest}, found {number}; give "
                        "a larger number"
                    )

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Settings:
        """Return the settings that JSON made of those of `to_json`."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
        return cls(**values)


def _require_known(what: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in found if name not in known]
    if unknown or not found:
        raise OctaError(
            f"expected a {what} of {', '.join(known)}, found "
            f"{', '.join(unknown) or 'none'}; choose one of them"
        )
