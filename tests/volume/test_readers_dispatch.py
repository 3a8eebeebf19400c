from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import find_reader, read_volume


def test_reading_imports_neither_torch_nor_napari_nor_qt(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), np.uint8))
    code = (
        "import sys; from napari_octa_sam2.volume.readers import read_volume; "
        "assert read_volume(sys.argv[1]).shape == (2, 3, 4); "
        "heavy = {'torch', 'napari', 'qtpy', 'h5py', 'nibabel', 'zarr', 'tifffile'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_find_reader_returns_what_reads(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), np.uint8))
    reader = find_reader(str(tmp_path / "a.npy"))
    assert reader is not None
    assert reader(tmp_path / "a.npy").source == tmp_path / "a.npy"


def test_found_reader_raises_read_errors_only(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3, 4), np.uint8))
    reader = find_reader(path)
    assert reader is not None
    path.unlink()
    with pytest.raises(ReadError, match=r"a\.npy"):
        reader(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.npy", "found nothing there"),
        ("missing folder", "found nothing there"),
        ("empty", "found a folder without numbered images"),
        ("notes.txt", "found a file of another kind"),
        ("nul\0.npy", "expected an OCTA-500 subject folder"),
        ("x" * 300, "expected an OCTA-500 subject folder"),
    ],
)
def test_paths_that_no_family_reads(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    assert find_reader(tmp_path / name) is None
    with pytest.raises(ReadError, match=message):
        read_volume(tmp_path / name)
