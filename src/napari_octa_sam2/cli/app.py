"""The application, and how it fails: one line on stderr, exit status 1."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import OctaError

DEBUG_VARIABLE = "NAPARI_OCTA_SAM2_DEBUG"


class OneLineErrors(TyperGroup):
    """Commands that say in one line what failed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; exit with 1 if it fails or is interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("error: interrupted", err=True)
        except Exception as error:
            # usage errors and exits know their own status
            is_known = hasattr(error, "exit_code") or isinstance(error, typer.Abort)
            if is_known or os.environ.get(DEBUG_VARIABLE):
                raise
            typer.echo(f"error: {reason(error)}", err=True)
        raise typer.Exit(1)


def reason(error: Exception) -> str:
    """Return why something failed, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OctaError):
        return text
    return (
        f"unexpected {type(error).__name__}: {text}; set {DEBUG_VARIABLE}=1 to see "
        "where, and report it"
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-octa-sam2 {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Segment vessels and the FAZ in OCT angiography with SAM 2.

    Exit status: 0 done, 1 failed (one line on stderr says why), 2 wrong usage.
    """
