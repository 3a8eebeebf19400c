"""Vessels keep their id through the depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.automatic.tracking import connected_objects, where_found
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.readers import read_volume


def test_a_vessel_that_a_slice_cuts_is_one() -> None:
    masks = np.zeros((3, 12, 30), bool)
    masks[0, 4, 0:10] = masks[0, 4, 20:30] = True  # two pieces of one vessel
    masks[1, 5, 10:20] = True  # its middle, by the corners
    masks[2, 9, 3:9] = True  # another one

    labels = connected_objects(masks, least=6)

    assert labels.dtype == np.uint8
    assert set(labels[0][masks[0]]) == set(labels[1][masks[1]]) == {1}
    assert set(labels[2][masks[2]]) == {2}
    assert not labels[~masks].any()


def test_ids_go_by_size_and_small_ones_are_left_out() -> None:
    masks = np.zeros((4, 10, 40), bool)
    masks[:, 1, :5] = True  # 5 pixels from above, 20 voxels
    masks[1, 4, :12] = True
    masks[2, 7, :30] = True

    labels = connected_objects(masks, least=5)

    assert [labels[2, 7, 0], labels[1, 4, 0], labels[0, 1, 0]] == [1, 2, 3]
    assert connected_objects(masks, least=6).max() == 2
    assert connected_objects(masks, least=31).max() == 0


def test_vessels_that_cross_at_different_depths() -> None:
    masks = np.zeros((5, 21, 31), bool)
    masks[1, 10] = True
    masks[3, :, 15] = True

    above = connected_objects(masks, least=1)
    depth = connected_objects(masks, least=1, view="depth")

    assert set(above[masks]) == {1}
    assert set(depth[1][masks[1]]) == {1}  # the one of 31 pixels
    assert set(depth[3][masks[3]]) == {2}
    masks[2, 10, 15] = True  # now they touch
    assert connected_objects(masks, least=1, view="depth").max() == 1


def test_size_in_depth_is_what_is_seen_from_above() -> None:
    masks = np.zeros((6, 8, 8), bool)
    masks[:, 2, 2] = True  # 6 voxels, 1 pixel
    masks[0, 5, 2:5] = True  # 3 pixels

    labels = connected_objects(masks, least=1, view="depth")

    assert labels[0, 5, 2] == 1
    assert labels[3, 2, 2] == 2
    assert connected_objects(masks, least=2, view="depth").max() == 1


def test_many_vessels_need_wider_ids() -> None:
    masks = np.zeros((1, 40, 40), bool)
    masks[0, ::2, ::2] = True

    labels = connected_objects(masks, least=1)

    assert labels.dtype == np.uint16
    assert labels.max() == 400


def test_a_followed_vessel_ends_where_it_was_found_to_end() -> None:
    found = np.zeros((3, 4, 6), np.uint8)
    found[0, 1, :5] = found[1, 1, :2] = 1
    found[2, 3, :3] = 2
    followed = np.zeros((3, 4, 6), np.uint16)
    followed[:, 1] = 1
    followed[1:, 3] = 2

    kept = where_found(followed, found, least=3)

    assert kept.dtype == followed.dtype
    assert kept[0].tolist() == followed[0].tolist()
    assert not kept[1].any()
    assert kept[2].tolist() == np.where(followed[2] == 2, 2, 0).tolist()
    assert followed[1].any()
    with pytest.raises(VolumeError, match="of one shape"):
        where_found(followed, found[:2])


@pytest.mark.parametrize("view", ["above", "depth"])
def test_no_vessel_at_all(view: str) -> None:
    labels = connected_objects(np.zeros((2, 5, 5), bool), view=view)
    assert labels.shape == (2, 5, 5)
    assert not labels.any()


def test_input_is_checked() -> None:
    masks = np.ones((1, 4, 4), bool)
    with pytest.raises(VolumeError, match="threshold"):
        connected_objects(masks.astype(float))
    with pytest.raises(VolumeError, match=r"\(4, 4\)"):
        connected_objects(masks[0])
    with pytest.raises(VolumeError, match="at least 1 pixel, found 0"):
        connected_objects(masks, least=0)
    with pytest.raises(VolumeError, match="above, depth, found 'side'"):
        connected_objects(masks, view="side")


@pytest.mark.parametrize("view", ["above", "depth"])
def test_clusters_of_sam_octa2_are_found_again(realdata: Path, view: str) -> None:
    folder = realdata / "sam-octa2/datasets/OCTA500/RV_LayerSequence/10301"
    if not folder.is_dir():
        pytest.skip("the sample of SAM-OCTA2 is not there")
    objects = read_volume(folder).labels["objects"].data

    labels = connected_objects(objects > 0, least=100, view=view)

    pairs = np.unique(np.stack([objects[objects > 0], labels[objects > 0]]), axis=1)
    assert pairs.shape == (2, 7)  # each of the seven is one, and another one
    assert set(pairs[1]) == set(range(1, 8))
