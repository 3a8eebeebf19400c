"""The command about the installation: doctor."""

from __future__ import annotations

import typer

from napari_octa_sam2.cli.console import AsJson, print_json


def doctor(as_json: AsJson = False) -> None:
    """Check the installation and say what to mend."""
    from napari_octa_sam2.doctor import examine

    findings = examine()
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding.status:<7}  {finding.subject:<12}  {finding.text}")
            if finding.advice:
                typer.echo(f"{'':23}-> {finding.advice}")
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)
