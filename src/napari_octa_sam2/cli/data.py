"""Commands on volumes and labels: info, evaluate, phantom."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_octa_sam2.cli.console import (
    AsJson,
    Range,
    parse_range,
    print_json,
    print_pairs,
    say,
)
from napari_octa_sam2.errors import PromptError, ReadError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.phantom import Phantom, PhantomConfig, make_phantom
from napari_octa_sam2.volume.readers import read_labels, read_volume
from napari_octa_sam2.volume.readers.record import plain_name
from napari_octa_sam2.volume.writers import write_image, write_labels


def info(
    path: Annotated[Path, typer.Argument(help="A volume: a file or a folder.")],
    as_json: AsJson = False,
) -> None:
    """Show how a volume is understood: axes, spacing, values, labels."""
    found = read_volume(path).describe()
    if as_json:
        print_json(found)
        return
    low, high = found["range"]
    axes = zip(found["axes"], found["shape"], found["spacing"], strict=True)
    known = found["unit"] == "mm"
    print_pairs(
        {"name": found["name"], "source": str(found["source"])}
        | {
            axis: f"{count} x {spacing:.6g} mm = {count * spacing:.4g} mm"
            if known
            else f"{count} pixels (physical size unknown)"
            for axis, count, spacing in axes
        }
        | {"values": f"{found['dtype']}, {low:g} to {high:g}"}
        | ({"first slice": str(n)} if (n := found["first_slice"]) else {})
        | _listed("slices", found["slice_names"])
        | _listed("channels", found["channels"])
        | {f"labels {k!r}": f"{len(v)} objects" for k, v in found["labels"].items()}
        | {str(k): _short(v) for k, v in found["provenance"].items()}
    )


def evaluate(
    prediction: Annotated[Path, typer.Argument(help="Labels to judge.")],
    truth: Annotated[
        Path, typer.Argument(help="True labels, or a volume that comes with some.")
    ],
    labels: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which labels of TRUTH, if it is a volume."),
    ] = None,
    slices: Range = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table there as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare labels with the truth: Dice, clDice, HD95 for each object."""
    from napari_octa_sam2.metrics.evaluation import evaluate as compare

    predicted, grid = read_labels(prediction)
    real, geometry = load_truth(truth, labels)
    if not geometry.known:
        geometry = grid
    elif grid.known and not _alike(grid, geometry):
        say(
            f"warning: the spacing of {prediction} is {grid.spacing} mm, that of "
            f"{truth} {geometry.spacing} mm; the latter is used"
        )
    span = parse_range(slices)
    if span is not None and not 0 <= span.start < span.stop <= len(real.data):
        raise PromptError(
            f"expected a range of slices from 0 to {len(real.data) - 1}, the first "
            f"before the last, found {slices}"
        )
    result = compare(
        predicted.data,
        real.data,
        geometry=geometry,
        names={**predicted.names, **real.names},
        slices=None if span is None else slice(span.start, span.stop),
    )
    if csv is not None:
        result.write_csv(csv)
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo(result.table())


def load_truth(path: Path, name: str | None) -> tuple[LabelSet, ScanGeometry]:
    """Return the labels that came with a volume, or those of a label file.

    Raises
    ------
    ReadError
        If there are none, or several and no name.
    """
    volume = read_volume(path)
    names = sorted(volume.labels)
    if name is None and not names:
        return read_labels(path)
    if name is None and len(names) > 1:
        raise ReadError(
            f"{path}: expected one kind of labels, found {', '.join(names)}; "
            "choose with --labels NAME"
        )
    chosen = name or names[0]
    if chosen not in volume.labels:
        raise ReadError(
            f"{path}: expected labels called {chosen!r}, found "
            f"{', '.join(names) or 'none'}; choose one of them"
        )
    return volume.labels[chosen], volume.geometry


def phantom(
    out: Annotated[
        Path,
        typer.Option(
            help="A folder, or an image file whose suffix is the format of all files."
        ),
    ],
    seed: Annotated[int, typer.Option(help="Equal seeds give equal phantoms.")] = 0,
    depth: Annotated[int, typer.Option(help="Number of slices.")] = 64,
    size: Annotated[int, typer.Option(help="Rows and columns.")] = 304,
    field: Annotated[float, typer.Option(help="Side of the field in mm.")] = 3.0,
    quality: Annotated[float, typer.Option(help="0, noisy, to 1.")] = 0.8,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic OCTA volume with its exact truth."""
    config = PhantomConfig(
        seed=seed, depth=depth, size=size, field_mm=field, quality=quality
    )
    files = _phantom_files(out)
    _write_phantom(make_phantom(config), files)
    names = {kind: str(path) for kind, path in files.items()}
    if as_json:
        print_json({"files": names})
    else:
        print_pairs(names)


def _phantom_files(out: Path) -> dict[str, Path]:
    """Return the image file, and the others in the same format beside it."""
    if not out.suffix:
        out = out / "image.ome.zarr"
    stem = plain_name(out)
    suffix = out.name.removeprefix(stem)
    lead = "" if stem == "image" else f"{stem}-"
    return {
        "image": out,
        "labels": out.with_name(f"{lead}labels{suffix}"),
        "surfaces": out.with_name(f"{lead}surfaces.npy"),
        "config": out.with_name(f"{lead}config.json"),
    }


def _write_phantom(made: Phantom, files: dict[str, Path]) -> None:
    import numpy as np

    volume, truth = made.volume, made.volume.labels["objects"]
    write_image(files["image"], volume, metadata=volume.provenance)
    write_labels(
        files["labels"],
        truth.data,
        volume.geometry,
        names=truth.names,
        classes=truth.classes,
    )
    np.save(files["surfaces"], made.surfaces)
    text = json.dumps(dict(volume.provenance), indent=1) + "\n"
    files["config"].write_text(text, "utf-8")


def _alike(one: ScanGeometry, other: ScanGeometry) -> bool:
    pairs = zip(one.spacing, other.spacing, strict=True)
    return all(math.isclose(a, b, rel_tol=1e-3) for a, b in pairs)


def _listed(name: str, values: list[str]) -> dict[str, str]:
    return {name: ", ".join(values)} if values else {}


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
