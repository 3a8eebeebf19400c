from __future__ import annotations

import pytest

from napari_octa_sam2.bench.settings import Settings


@pytest.fixture
def settings() -> Settings:
    """The smallest that stock SAM 2 can be compared on."""
    return Settings(
        random=True,
        sizes=(128,),
        objects=(2,),
        repeats=1,
        pixels=64,
        device="cpu",
        precision="fp32",
    )


@pytest.fixture
def watch():
    """Return a watch that never stops; what it was told is in `watch.notes`."""

    def told(note: str) -> None:
        told.notes.append(note)

    told.notes = []
    return told
