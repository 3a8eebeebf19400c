"""Lines are answered as clicks along them, outlines as the masks inside."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts import Prompt, PromptSet, Scribble

SLICE = 4


@pytest.fixture
def new_session(data, tiny_model):
    return lambda: Session(data, tiny_model, device="cpu", precision="fp32")


def everything(session):
    """Return the logits of object 1 on every slice, once propagated."""
    return np.stack(
        [r.logits[1] for r in sorted(session.propagate(), key=lambda r: r.slice)]
    )


def test_a_scribble_answers_as_its_clicks_would(new_session):
    lines = (
        Scribble(((5, 5), (20, 9), (20, 40))),
        Scribble(((30, 5), (35, 45)), 0),
    )
    drawn = Prompt(1, SLICE, ((12.0, 12.0),), (1,), scribbles=lines)
    clicked = Prompt(
        1,
        SLICE,
        tuple((row, col) for row, col, _ in drawn.clicks),
        tuple(label for *_, label in drawn.clicks),
    )
    assert len(clicked.points) > 8
    sessions = new_session(), new_session()
    answers = [
        session.add(prompt).logits[1]
        for session, prompt in zip(sessions, (drawn, clicked), strict=True)
    ]
    np.testing.assert_array_equal(*answers)
    np.testing.assert_array_equal(*map(everything, sessions))
    other = new_session().add(Prompt(1, SLICE, ((12.0, 12.0),), (1,))).logits[1]
    assert not np.array_equal(answers[0], other)


def test_a_polygon_answers_as_the_mask_inside_would(new_session, data):
    outline = ((3.0, 4.5), (8.0, 40.2), (33.3, 20.0))
    polygon = Prompt(1, SLICE, polygon=outline)
    mask = Prompt(1, SLICE, mask=polygon.given(data.shape[1:]))
    assert 200 < mask.mask.sum() < data[0].size / 2
    sessions = new_session(), new_session()
    answers = [
        session.add(prompt).logits[1]
        for session, prompt in zip(sessions, (polygon, mask), strict=True)
    ]
    np.testing.assert_array_equal(*answers)
    np.testing.assert_array_equal(*map(everything, sessions))
    correction = Prompt(1, SLICE, ((30.0, 5.0),), (0,))
    corrected = [session.add(correction).logits[1] for session in sessions]
    np.testing.assert_array_equal(*corrected)
    assert not np.array_equal(corrected[0], answers[0])


def test_an_outlined_slice_is_certain(new_session):
    session = new_session()
    session.add(Prompt(1, SLICE, polygon=((3, 4), (8, 40), (33, 20))))
    everything(session)
    assert session._tracker.banks[1].is_certain(SLICE)


def test_a_polygon_around_no_pixel_is_refused(new_session):
    session = new_session()
    with pytest.raises(PromptError, match="draw it larger or delete it"):
        session.add(Prompt(1, SLICE, polygon=((1.1, 1.1), (1.1, 1.9), (1.9, 1.5))))
    assert session.objects == []


def test_cross_suppression_reaches_the_engine(new_session):
    prompts = (
        Prompt(1, SLICE, ((10.0, 10.0),), (1,)),
        Prompt(2, SLICE, ((30.0, 40.0),), (1,)),
    )
    session = new_session()
    for key, given in PromptSet(prompts=prompts, suppress=True).by_slice().items():
        answer = session.set_prompts(*key, given)
    by_hand = new_session()
    by_hand.add(prompts[0])
    by_hand.add(Prompt(1, SLICE, ((30.0, 40.0),), (0,)))
    by_hand.add(prompts[1])
    expected = by_hand.add(Prompt(2, SLICE, ((10.0, 10.0),), (0,)))
    np.testing.assert_array_equal(answer.logits[2], expected.logits[2])
    np.testing.assert_array_equal(everything(session), everything(by_hand))
