"""What of the installation works, what does not, and how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Literal

from napari_octa_sam2 import __version__
from napari_octa_sam2.model.download import (
    CACHE_VARIABLE,
    cache_folder,
    checkpoint_path,
)
from napari_octa_sam2.model.registry import get_entry

SAM2_VERSION = "1.1.0"
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
NEEDED_BYTES = 10**9  # the largest checkpoint


@dataclass(frozen=True)
class Finding:
    """One checked thing: how it is, and what to do about it."""

    subject: str
    status: Literal["ok", "warning", "problem"]
    text: str
    advice: str = ""


def examine() -> list[Finding]:
    """Check the installation; never raises."""
    return [_run(name, check) for name, check in CHECKS.items()]


def _run(subject: str, check: Callable[[str], Finding]) -> Finding:
    try:
        return check(subject)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(subject, "problem", text, "install napari-octa-sam2 again")


def _package(subject: str) -> Finding:
    text = f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    return Finding(subject, "ok", text)


def _torch(subject: str) -> Finding:
    import torch

    return Finding(subject, "ok", torch.__version__)


def _torchvision(subject: str) -> Finding:
    found, torch = installed("torchvision"), installed("torch")
    if found is None:
        return Finding(subject, "ok", "not installed; this package does not need it")
    try:
        import_module("torchvision")
    except Exception as error:
        return Finding(
            subject,
            "warning",
            f"{found} does not load beside torch {torch} ({_first_line(error)}); "
            "harmless here, but torchmetrics and lightning will fail",
            "install torch and torchvision from the same package index",
        )
    return Finding(subject, "ok", found)


def _sam2(subject: str) -> Finding:
    found = installed("sam2")
    if found == SAM2_VERSION:
        import_module("sam2.modeling.sam2_base")
        return Finding(subject, "ok", found)
    return Finding(
        subject,
        "problem",
        f"expected {SAM2_VERSION}, found {found or 'none'}",
        f"pip install sam2=={SAM2_VERSION}",
    )


def _training(subject: str) -> Finding:
    from napari_octa_sam2.model.adapters.low_rank import import_peft

    import_module("accelerate")
    import_peft()
    names = ("accelerate", "peft")
    text = ", ".join(f"{name} {installed(name)}" for name in names)
    return Finding(subject, "ok", text)


def _devices(subject: str) -> Finding:
    import torch

    from napari_octa_sam2.engine.device import available_devices

    names = available_devices()
    if "cuda" in names:
        names[0] = f"cuda ({torch.cuda.get_device_name()})"
    return Finding(subject, "ok", ", ".join(names))


def _processor(subject: str) -> Finding:
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    limit = os.environ.get("OMP_NUM_THREADS")
    text = (
        f"{threads} threads on {cores} cores, "
        f"{torch.backends.cpu.get_cpu_capability()}, "
        + ("bf16 possible" if bf16 else "no bf16: fp32 is used")
        + (f", OMP_NUM_THREADS={limit}" if limit else "")
    )
    return Finding(subject, "ok", text)


def _qt(subject: str) -> Finding:
    found = [f"{n} {v}" for n in QT_BINDINGS if (v := installed(n))]
    napari = installed("napari")
    if found and napari:
        return Finding(subject, "ok", f"napari {napari} with {', '.join(found)}")
    return Finding(
        subject,
        "warning",
        "no Qt binding: the shell and Python work, the viewer does not open",
        'pip install "napari-octa-sam2[all]"',
    )


def _plugin(subject: str) -> Finding:
    name = "napari-octa-sam2"
    manifest = Path(__file__).with_name("napari.yaml")
    if not manifest.is_file():
        return Finding(
            subject, "problem", f"no manifest at {manifest}", f"reinstall {name}"
        )
    if not entry_points(group="napari.manifest", name=name):
        return Finding(
            subject,
            "warning",
            "the package is not installed, so napari does not see the plugin",
            f"pip install {name}",
        )
    return Finding(subject, "ok", str(manifest))


def _prompted_weights(subject: str) -> Finding:
    from napari_octa_sam2.model.loading import DEFAULT_MODEL, load_model

    return _weights(subject, DEFAULT_MODEL, load_model)


def _promptless_weights(subject: str) -> Finding:
    from napari_octa_sam2.model.promptless.model import (
        DEFAULT_PROMPTLESS,
        load_promptless,
    )

    return _weights(subject, DEFAULT_PROMPTLESS, load_promptless)


def _weights(subject: str, name: str, load: Callable[[str], object]) -> Finding:
    from napari_octa_sam2.errors import ModelError
    from napari_octa_sam2.files import file_sha256

    entry = get_entry(name)
    advice = "install napari-octa-sam2 again"
    try:
        load(name)
    except ModelError as error:
        return Finding(subject, "problem", str(error), advice)
    found = file_sha256(checkpoint_path(entry))
    if entry.sha256 not in (None, found):
        text = f"{name}: expected SHA-256 {entry.sha256}, found {found}"
        return Finding(subject, "problem", text, advice)
    return Finding(subject, "ok", f"{name} loads, SHA-256 {found}")


def _cache(subject: str) -> Finding:
    folder = cache_folder()
    advice = f"set {CACHE_VARIABLE} to a folder with space that you may write to"
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        return Finding(subject, "warning", f"{folder} cannot be written", advice)
    free = shutil.disk_usage(there).free
    text = f"{folder}, {free / 1e9:.1f} GB free"
    if free < NEEDED_BYTES:
        return Finding(subject, "warning", text, advice)
    return Finding(subject, "ok", text)


def installed(name: str) -> str | None:
    """Return the version of an installed distribution, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


CHECKS: dict[str, Callable[[str], Finding]] = {
    "package": _package,
    "torch": _torch,
    "torchvision": _torchvision,
    "sam2": _sam2,
    "training": _training,
    "devices": _devices,
    "processor": _processor,
    "viewer": _qt,
    "plugin": _plugin,
    "model": _prompted_weights,
    "promptless": _promptless_weights,
    "cache": _cache,
}
