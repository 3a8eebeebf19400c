"""A slice without prompts is prompted by the mask of the one before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import LoadedModel, build_network
from napari_octa_sam2.prompts import Prompt


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=128)
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    return network


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_mask_given_is_that_of_the_slice_before(network, direction, monkeypatch):
    data = np.random.default_rng(0).integers(0, 255, (5, 40, 40), dtype=np.uint8)
    session = Session(
        data, LoadedModel(network, "random", ""), device="cpu", precision="fp32"
    )
    given = []
    heads = network._forward_sam_heads

    def listening(*args, **kwargs):
        found = heads(*args, **kwargs)
        if kwargs.get("point_inputs") is None and kwargs.get("mask_inputs") is not None:
            given.append((kwargs["mask_inputs"], found[3]))
        return found

    session.add(Prompt(1, 2, ((20.0, 20.0),), (1,)))
    first = session._tracker.banks[1].output(2).logits
    monkeypatch.setattr(network, "_forward_sam_heads", listening)
    assert len(list(session.propagate(direction))) == 3
    (mask_1, found_1), (mask_2, _) = given
    torch.testing.assert_close(mask_1, first.clamp(-32, 32))
    torch.testing.assert_close(mask_2, found_1.clamp(-32, 32))


def test_what_the_neighbour_shows_changes_the_mask(network):
    data = np.zeros((2, 40, 40), np.uint8)
    data[:, 10:30, 10:30] = 200
    followed = []
    for corner in (slice(0, 20), slice(20, 40)):
        session = Session(
            data, LoadedModel(network, "random", ""), device="cpu", precision="fp32"
        )
        mask = np.zeros((40, 40), bool)
        mask[corner, corner] = True
        session.add(Prompt(1, 0, mask=mask))
        *_, last = session.propagate("forward")
        followed.append(last.logits[1])
    assert not np.allclose(*followed)
