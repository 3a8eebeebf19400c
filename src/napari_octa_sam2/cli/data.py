"""Commands on volumes: info, phantom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_octa_sam2.cli.console import AsJson, print_json, print_pairs
from napari_octa_sam2.volume.phantom import Phantom, PhantomConfig, make_phantom
from napari_octa_sam2.volume.readers import read_volume
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


def _listed(name: str, values: list[str]) -> dict[str, str]:
    return {name: ", ".join(values)} if values else {}


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
