"""Opening data in a real viewer, through the manifest."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError


def test_the_sample_opens_in_millimetres(make_napari_viewer):
    viewer = make_napari_viewer()
    image, labels = viewer.open_sample("napari-octa-sam2", "phantom")
    assert image.data.shape == labels.data.shape == (64, 304, 304)
    np.testing.assert_allclose(image.scale[1:], 3 / 304)
    assert [str(u) for u in image.units] == ["millimeter"] * 3
    assert image.axis_labels == ("depth", "slow", "fast")
    assert not labels.visible
    assert set(labels.metadata["names"]) == set(np.unique(labels.data)) - {0}


def test_files_and_folders_open_by_drag_and_drop(make_napari_viewer, tmp_path):
    from PIL import Image

    volume = np.random.default_rng(0).integers(0, 255, (5, 20, 30), dtype=np.uint8)
    np.save(tmp_path / "scan.npy", volume)
    (tmp_path / "stack").mkdir()
    for z, image in enumerate(volume):
        Image.fromarray(image).save(tmp_path / "stack" / f"{z}.png")
    viewer = make_napari_viewer()
    for name in ("scan.npy", "stack"):
        (layer,) = viewer.open(tmp_path / name, plugin="napari-octa-sam2")
        np.testing.assert_array_equal(layer.data, volume)


def test_a_folder_that_is_no_volume_says_so(make_napari_viewer, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "1.bmp").write_bytes(b"not a picture")
    viewer = make_napari_viewer()
    with pytest.raises(ReadError, match=r"1\.bmp"):
        viewer.open(tmp_path / "notes", plugin="napari-octa-sam2")
    assert len(viewer.layers) == 0


def test_the_dock_is_in_the_menus(make_napari_viewer):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    assert "OCTA volume" in widget.status.text()
    titles = [a.text() for a in viewer.window.layers_menu.actions()]
    assert any("Segment" in title for title in titles)
    widget.close()
