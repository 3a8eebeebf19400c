"""What a figure is: the one record behind tables, reports and the documentation."""

from __future__ import annotations

from dataclasses import dataclass

from napari_octa_sam2.metrics.results import Figure

MICROMETRES = 1000  # in a millimetre


@dataclass(frozen=True)
class Definition:
    """How a figure is called, computed and told.

    Parameters
    ----------
    key : str
        Name in tables and files, such as ``"vld"``.
    symbol : str
        What papers call it, such as ``"VLD"``.
    title : str
    formula : str
        In words and signs that a plain-text table can hold.
    source : str
        Paper, or the reference of the formula.
    bias : str
        What it is known to get wrong, with the size of the error.
    length : int
        Power of length in its unit: 0 for a ratio or a count, 2 for an area, -1 for
        a length in an area.
    fine : bool
        Whether it is told in micrometres where the spacing is known.
    """

    key: str
    symbol: str
    title: str
    formula: str
    source: str
    bias: str
    length: int = 0
    fine: bool = False

    def unit(self, base: str) -> str:
        """Return the unit, where lengths are measured in `base` (mm or pixel)."""
        if not self.length:
            return ""
        base = "um" if self.fine and base == "mm" else base
        return base if self.length == 1 else f"{base}^{self.length}"

    def figure(self, value: float, base: str) -> Figure:
        """Return the figure of a value that was computed in `base` (mm or pixel).

        A value that is nan needs a reason: use `missing`.
        """
        fine = self.fine and base == "mm"
        factor = float(MICROMETRES) ** self.length if fine else 1.0
        return Figure(float(value) * factor, self.unit(base))

    def missing(self, why_not: str, base: str) -> Figure:
        """Return a figure that is not available, with the reason."""
        return Figure(float("nan"), self.unit(base), why_not)


def by_key(*definitions: Definition) -> dict[str, Definition]:
    """Return definitions by their keys."""
    return {d.key: d for d in definitions}
