from __future__ import annotations

import torch
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam2_base import SAM2Base

from napari_octa_sam2.model.loading import build_network
from napari_octa_sam2.model.prompt_encoder import FIRST_CLASS, OctaPromptEncoder, paint


def test_clicks_are_spots_where_they_are_and_boxes_are_filled():
    points = torch.tensor([[[20.0, 40.0], [100.0, 8.0], [32.0, 64.0], [63.0, 95.0]]])
    labels = torch.tensor([[1, 0, 2, 3]])
    positive, negative, box = paint(points, labels, 128, 32)[0]
    assert divmod(int(positive.argmax()), 32) == (9, 4)
    assert divmod(int(negative.argmax()), 32) == (1, 24)
    assert 0.8 < positive.max() <= 1
    assert box.sum() == 8 * 8
    assert box[16:24, 8:16].all()


def test_padding_paints_nothing():
    points = torch.full((2, 3, 2), 50.0)
    assert not paint(points, torch.full((2, 3), -1), 128, 32).any()


def test_at_the_start_it_is_sam2s_own_encoder():
    torch.manual_seed(0)
    painted = OctaPromptEncoder(32, (8, 8), (128, 128), 16, classes=2)
    plain = PromptEncoder(32, (8, 8), (128, 128), 16)
    plain.load_state_dict(painted.state_dict(), strict=False)
    points = torch.rand(2, 3, 2) * 128, torch.tensor([[1, 0, -1], [2, 3, 1]])
    masks = torch.randn(2, 1, 32, 32)
    for found, expected in zip(
        painted(points, None, masks), plain(points, None, masks), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_a_class_prompt_has_no_place_and_says_which_class():
    torch.manual_seed(0)
    encoder = OctaPromptEncoder(32, (8, 8), (128, 128), 16, classes=3)
    torch.nn.init.normal_(encoder.painting[-1].weight)

    def encode(x, label):
        points = torch.tensor([[[x, 5.0]]]), torch.tensor([[label]])
        return encoder(points, None, None)

    here, there = encode(3.0, FIRST_CLASS + 1), encode(90.0, FIRST_CLASS + 1)
    other = encode(3.0, FIRST_CLASS + 2)
    for a, b, c in zip(here, there, other, strict=True):
        torch.testing.assert_close(a, b)
        assert not torch.allclose(a, c)
    pictures = paint(*(torch.zeros(1, 1, 2), torch.tensor([[FIRST_CLASS]])), 64, 8, 3)
    assert pictures.flatten(2).sum(-1).tolist() == [[0, 0, 0, 64, 0, 0]]


class Blobs:
    """Stands in for the decoder: two pieces, whatever is asked."""

    def __init__(self, network):
        side = network.sam_prompt_encoder.mask_input_size[0]
        self.masks = torch.full((1, 1, side, side), -5.0)
        self.masks[..., 2:6, 2:6] = self.masks[..., 20:26, 20:26] = 5.0

    def __call__(self, *args, **kwargs):
        return (self.masks, None, None, self.masks, None, None, None)


def test_clicks_choose_a_piece_and_classes_keep_all(monkeypatch):
    network = build_network("octa-nano.yaml", input_size=128)
    blobs = Blobs(network)
    monkeypatch.setattr(SAM2Base, "_forward_sam_heads", blobs)

    def pieces(label=None, mask=None, whole=False):
        points = None
        if label is not None:
            points = {
                "point_coords": torch.tensor([[[14.0, 14.0]]]),
                "point_labels": torch.tensor([[label]]),
            }
        found = network._forward_sam_heads(None, points, mask, whole=whole)
        assert found[4].shape[-1] == 128
        return [bool(found[3][0, 0, i, i] > 0) for i in (3, 22)]

    before = torch.full_like(blobs.masks, -5.0)
    before[..., 22:28, 22:28] = 5.0
    nowhere = torch.full_like(before, -5.0)
    assert pieces(label=1) == [True, False]
    assert pieces(label=1, mask=before) == [True, True]
    assert pieces(label=FIRST_CLASS) == [True, True]
    assert pieces(mask=before) == [False, True]
    assert pieces(mask=nowhere) == [False, False]
    assert pieces(mask=nowhere, whole=True) == [True, True]
