from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of real samples, kept outside the repository."""
    default = TESTS.parent.parent / "shared" / "realdata"
    folder = Path(os.environ.get("OCTA_REALDATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real samples in {folder}; set OCTA_REALDATA to their folder")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_display = sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    for item in items:
        if item.path.is_relative_to(TESTS / "gui"):
            item.add_marker(pytest.mark.gui)
            if no_display:
                reason = "no display: run python tests/system_packages.py first"
                item.add_marker(pytest.mark.skip(reason=reason))
