"""Commands about the networks: list them, tell all about one, download one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from napari_octa_sam2.cli.architectures import show_architectures
from napari_octa_sam2.cli.console import (
    AsJson,
    print_json,
    print_pairs,
    print_table,
    progress,
)
from napari_octa_sam2.model.promptless.config import ARCHITECTURES
from napari_octa_sam2.model.registry import MODELS, get_entry

models = typer.Typer(help="List the models; tell all about one, or download it.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from the list.")]


@models.callback(invoke_without_command=True)
def _list(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is not None:
        return
    from napari_octa_sam2.model.card import describe

    found = [describe(entry) for entry in MODELS.values()]
    if as_json:
        print_json(found)
        return
    for row in found:
        offline = "on disk" if row["available"] else "to download"
        typer.echo(
            f"{row['name']:<24}{row['size_mb']:>5g} MB  {row['kind']:<12}"
            f"{_input_of(row):<20}{row['licence']:<14}{offline:<13}{row['title']}"
        )


@models.command()
def info(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A name from the list, or an architecture."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the model card: size, licence, training, figures.

    Without a name, the promptless architectures that a recipe can train: parameters,
    and the time of a slice on this machine, which takes a minute to measure. With the
    name of one, that one and its settings.
    """
    if name is None or name in ARCHITECTURES:
        show_architectures(name, as_json)
        return
    from napari_octa_sam2.model.card import figure_rows, model_card, phase_rows

    card = model_card(get_entry(name))
    if as_json:
        print_json(card)
        return
    print_pairs(_facts(card))
    if "training" not in card:
        return
    if (training := card["training"]) is None:
        typer.echo("\nThere is no record of how these weights were trained.")
        return
    typer.echo()
    print_pairs(_training(training))
    typer.echo()
    print_table(phase_rows(training))
    typer.echo()
    if training.get("figures"):
        print_table(figure_rows(training))
    else:
        typer.echo("No figures have been measured.")


@models.command()
def download(name: Name) -> None:
    """Fetch a checkpoint now, and verify it."""
    from napari_octa_sam2.model.download import fetch

    with progress(f"download of {name} [MB]") as tell:
        path = fetch(
            get_entry(name),
            progress=lambda done, total: tell(
                round(done / 1e6), None if total is None else round(total / 1e6)
            ),
        )
    typer.echo(f"{name} is in {path}")


def _architecture(kind: str, settings: Mapping[str, Any]) -> str:
    given = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{kind} ({ARCHITECTURES[kind].title})" + (f", {given}" if given else "")


def _input_of(card: Mapping[str, Any]) -> str:
    side = card["input_size"]
    return f"{side} x {side} pixels" if side else "any size"


def _facts(card: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "name": card["name"],
        "title": card["title"],
        "notes": card["notes"],
        "licence": card["licence"],
        "kind": card["kind"],
        "input": _input_of(card),
        "size": f"{card['size_mb']:g} MB",
        "SHA-256": card["sha256"] or "not published",
        "from": card["url"] or "this package",
        "on disk": card["path"] if card["available"] else "no",
    }
    if "parameters" in card:
        counts = card["parameters"]
        facts["size"] = f"{card['bytes']:,} bytes"
        facts["parameters"] = f"{counts['network']:,}"
        if "refinement" in counts:
            head = f"{counts['refinement']:,} of the refinement head"
            facts["parameters"] += f", and {head}"
        if "network" in card:
            facts["architecture"] = _architecture(**card["network"])
        facts["classes"] = ", ".join(card["classes"]) or "none"
    return facts


def _training(record: Mapping[str, Any]) -> dict[str, str]:
    machine = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    return {
        "recipe": f"{record['recipe']} of version {record['version']}",
        "data": ", ".join(record["data"]),
        "trained": f"{record['seconds'] / 3600:.1f} h, until {record['finished']}",
        "machine": machine,
    }
