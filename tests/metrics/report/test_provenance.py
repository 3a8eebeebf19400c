from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime

import pytest

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.metrics.report.provenance import content_hash, provenance


def test_versions_time_and_hashes_are_told(tmp_path):
    file = tmp_path / "labels.npy"
    file.write_bytes(b"labels")
    record = json.loads(json.dumps(provenance([file])))
    assert record["software"]["napari-octa-sam2"] == __version__
    assert {"python", "numpy", "scipy", "scikit-image", "skan"} <= set(
        record["software"]
    )
    assert datetime.fromisoformat(record["created"]).utcoffset() is not None
    sha256 = hashlib.sha256(b"labels").hexdigest()
    assert record["inputs"] == [{"file": "labels.npy", "sha256": sha256}]


def test_hash_of_a_folder_knows_names_and_contents(tmp_path):
    folder = tmp_path / "scan"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "1.bmp").write_bytes(b"one")
    (folder / "a.bmp").write_bytes(b"two")
    first = content_hash(folder)
    assert content_hash(shutil.copytree(folder, tmp_path / "copy")) == first
    one, two = (hashlib.sha256(c).hexdigest() for c in (b"one", b"two"))
    lines = f"a.bmp {two}\nb/1.bmp {one}\n"
    assert first == hashlib.sha256(lines.encode()).hexdigest()
    (folder / "a.bmp").rename(folder / "c.bmp")
    renamed = content_hash(folder)
    (folder / "c.bmp").write_bytes(b"three")
    assert len({first, renamed, content_hash(folder)}) == 3


def test_an_input_that_is_gone_is_told(tmp_path):
    with pytest.raises(
        ReadError, match=r"gone\.npy: expected an input that can be read"
    ):
        provenance([tmp_path / "gone.npy"])
