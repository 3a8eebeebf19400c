"""Commands about the installation: models, doctor."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_octa_sam2.cli.console import AsJson, print_json, print_pairs, progress
from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.registry import MODELS, ModelEntry, get_entry


def models(
    name: Annotated[str | None, typer.Argument(help="Show one model.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch and verify it now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models, show one, or download it."""
    if name is None:
        if download:
            raise ModelError("expected the name of the model to download, found none")
        _list([_describe(entry) for entry in MODELS.values()], as_json)
        return
    entry = get_entry(name)
    if download:
        _download(entry)
    found = _describe(entry)
    if as_json:
        print_json(found)
    else:
        print_pairs({key: str(value) for key, value in found.items()})


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


def _list(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for row in found:
        offline = "on disk" if row["available"] else "to download"
        typer.echo(
            f"{row['name']:<24}{row['size_mb']:>5g} MB  input {row['input_size']:>4}  "
            f"{row['licence']:<13}{offline:<12}{row['title']}"
        )


def _describe(entry: ModelEntry) -> dict[str, Any]:
    from napari_octa_sam2.model.download import checkpoint_path, is_available

    return vars(entry) | {
        "path": str(checkpoint_path(entry)),
        "available": is_available(entry),
    }


def _download(entry: ModelEntry) -> None:
    from napari_octa_sam2.model.download import fetch

    with progress(f"download of {entry.name} [MB]") as tell:
        fetch(
            entry,
            progress=lambda done, total: tell(
                round(done / 1e6), None if total is None else round(total / 1e6)
            ),
        )
