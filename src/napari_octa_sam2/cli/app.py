"""The application, and how its failures are told: one line, exit status 1."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import OctaError

DEBUG_VARIABLE = "NAPARI_OCTA_SAM2_DEBUG"


class OneLineErrors(TyperGroup):
    """Commands that tell what failed in one line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 if it fails."""
        try:
            return super().invoke(ctx)
        except (OctaError, OSError, MemoryError, ImportError, ArithmeticError) as error:
            reason = error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            reason = error
        raise typer.Exit(1)
