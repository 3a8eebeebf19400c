"""Colours of every picture: Okabe and Ito's, and what text and ground look like.

Okabe and Ito's eight colours are told apart with every kind of colour vision (Okabe
and Ito, "Color Universal Design", 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
BLACK = "#000000"

PREDICTION, TRUTH = ORANGE, SKY
OBJECTS = (ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE)
# Where outlines of the prediction and the truth are near: their colours come last.
OBJECTS_BESIDE = (GREEN, YELLOW, PURPLE, VERMILION, BLUE, PREDICTION, TRUTH)
# Those that show best on the ground come first.
ON_DARK = (SKY, ORANGE, GREEN, YELLOW, PURPLE, VERMILION, BLUE)
ON_WHITE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)


@dataclass(frozen=True)
class Look:
    """What text, lesser text, lines and the ground of a picture look like.

    Parameters
    ----------
    ink, faint, line, ground : str
        Colours of text, of lesser text, of grid lines, and of what they lie on.
    lines : tuple of str
        Colours of curves, the same in turn.
    """

    ink: str
    faint: str
    line: str
    ground: str
    lines: tuple[str, ...]

    def style(self) -> dict[str, str | float]:
        """Return it as settings for ``matplotlib.rc_context``."""
        return {
            "font.family": "sans-serif",
            "font.size": 9.0,
            "text.color": self.ink,
            "axes.titlecolor": self.ink,
            "figure.facecolor": self.ground,
            "savefig.facecolor": self.ground,
            "svg.fonttype": "none",
        }


DARK = Look("#F0F1F2", "#A8ADB8", "#4A4F59", "#262930", ON_DARK)
LIGHT = Look("#1B1E23", "#5E646E", "#D5D8DD", "#FFFFFF", ON_WHITE)
