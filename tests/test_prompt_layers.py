"""Prompts drawn in layers of a viewer model, by code and by gestures of the mouse."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from wrapt import ObjectProxy

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompt_layers import PromptLayers
from napari_octa_sam2.prompts import Prompt, Scribble

SHAPE = (6, 60, 80)
SLICE = 2
ANGLES = np.linspace(0, 5.8, 24)
CIRCLE = [(30 + 15 * np.cos(a), 40 + 15 * np.sin(a)) for a in ANGLES]
PIXEL = 10  # of the screen, a pixel of the image


@pytest.fixture
def changes():
    return []


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="scan")
    viewer.dims.set_current_step(0, SLICE)
    return viewer


@pytest.fixture
def drawn(viewer, changes):
    layers = None

    def note():
        changes.append(layers.read())

    layers = PromptLayers(viewer, viewer.layers["scan"], note)
    return layers


class Mouse:
    """A mouse over the layer of shapes, as napari sends its events."""

    def __init__(self, layer, index=SLICE, modifiers=()):
        self.layer, self.index = layer, index
        self.modifiers = [SimpleNamespace(name=m) for m in modifiers]

    def event(self, kind, at, *, dragging=False):
        return SimpleNamespace(
            type=kind,
            position=(self.index, *at),
            pos=np.array(at) * PIXEL,
            is_dragging=dragging,
            modifiers=self.modifiers,
            view_direction=None,
            up_direction=None,
            dims_displayed=[1, 2],
            dims_point=[self.index, 0, 0],
            handled=False,
            inverted=False,
            button=1,
        )

    def press(self, at):
        # napari passes later events to a running gesture through a proxy
        proxy = ObjectProxy(self.event("mouse_press", at))
        mouse_press_callbacks(self.layer, proxy)

    def move(self, path, *, dragging=True):
        for at in path:
            event = self.event("mouse_move", at, dragging=dragging)
            mouse_move_callbacks(self.layer, event)

    def release(self, at):
        mouse_release_callbacks(self.layer, self.event("mouse_release", at))

    def drag(self, path):
        self.press(path[0])
        self.move(path[1:])
        self.release(path[-1])

    def double_click(self, at):
        event = self.event("mouse_double_click", at)
        mouse_double_click_callbacks(self.layer, event)


PROMPTS = (
    Prompt(2, 1, ((4.5, 4.25), (20, 20)), (1, 0), (2.0, 2.0, 25.0, 30.0)),
    Prompt(2, 1, scribbles=(Scribble(((4.1, 4.3), (9.7, 30.2), (50, 60))),)),
    Prompt(3, 1, polygon=((1.5, 1.5), (1.5, 20.7), (33.3, 9.0), (20.1, 2.0))),
    Prompt(
        3,
        4,
        ((1, 2),),
        (1,),
        scribbles=(Scribble(((1, 1), (5, 5)), 0), Scribble(((2, 1), (9, 5)), 1)),
        whole="vein",
    ),
    Prompt(3, 5, absent=True),
    Prompt(2, 5, mask=np.eye(60, 80, dtype=bool)),
    Prompt(2, 3, box=(0.1, 0.2, 5.3, 6.4)),
)


def test_every_kind_is_drawn_and_read_back(drawn, changes):
    drawn.draw(PROMPTS)
    assert drawn.read() == PROMPTS
    kinds = ["rectangle", "path", "polygon", "path", "path", "rectangle"]
    assert drawn.shapes.shape_type == kinds
    assert [vertices[0][0] for vertices in drawn.shapes.data] == [1, 1, 1, 4, 4, 3]
    drawn.draw(PROMPTS[::-1])
    assert drawn.read() == PROMPTS[::-1]
    drawn.draw(())
    assert drawn.read() == ()
    assert changes == []


def test_prompts_of_a_single_image(changes):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE[1:], np.uint8))
    layers = PromptLayers(viewer, image, lambda: None)
    prompts = (
        Prompt(1, 0, scribbles=(Scribble(((4.1, 4.3), (9.7, 30.2))),)),
        Prompt(1, 0, polygon=((1.5, 1.5), (1.5, 20.7), (33.3, 9.0))),
    )
    for _ in range(2):
        layers.draw(prompts)
        assert layers.read() == prompts
        assert layers.shapes.ndim == 2


def test_colours_tell_kinds_and_polarity(drawn):
    drawn.draw(PROMPTS)
    box, positive, outline, negative, *_ = map(tuple, drawn.shapes.edge_color)
    assert len({box, positive, outline, negative}) == 4
    assert tuple(drawn.shapes.edge_color[4]) == positive


def test_one_drag_scribbles(drawn, changes):
    drawn.set_object(4)
    drawn.shapes.mode = "add_path"
    Mouse(drawn.shapes).drag(CIRCLE)
    (prompt,) = drawn.read()
    assert (prompt.object, prompt.slice) == (4, SLICE)
    (scribble,) = prompt.scribbles
    assert scribble.label == 1
    distance = np.hypot(*(np.array(scribble.path) - (30, 40)).T)
    np.testing.assert_allclose(distance, 15, atol=1e-4)
    assert changes == [(prompt,)]


@pytest.mark.parametrize("modifier", ["Control", "Alt"])
def test_a_key_turns_a_scribble_negative(drawn, modifier):
    drawn.shapes.mode = "add_path"
    Mouse(drawn.shapes, modifiers=[modifier]).drag(CIRCLE[:9])
    Mouse(drawn.shapes).drag(CIRCLE[:9])
    assert [p.scribbles[0].label for p in drawn.read()] == [0, 1]
    drawn.set_polarity(False)
    Mouse(drawn.shapes).drag(CIRCLE[:9])
    negative, positive, also_negative = map(tuple, drawn.shapes.edge_color)
    assert negative == also_negative != positive


def test_one_drag_with_the_lasso_outlines(drawn, changes):
    drawn.shapes.mode = "add_polygon_lasso"
    Mouse(drawn.shapes).drag(CIRCLE)
    (prompt,) = drawn.read()
    mask = prompt.given(SHAPE[1:])
    assert mask.sum() == pytest.approx(np.pi * 15**2, rel=0.08)
    assert changes == [(prompt,)]


def test_an_ellipse_is_its_outline(drawn):
    box = np.array([(10, 10), (10, 50), (40, 50), (40, 10)], float)
    vertices = np.insert(box, 0, SLICE, axis=1)
    drawn.shapes.add_ellipses(vertices)
    (prompt,) = drawn.read()
    area = prompt.given(SHAPE[1:]).sum()
    assert area == pytest.approx(np.pi * 15 * 20, rel=0.02)
    drawn.draw((prompt,))
    assert drawn.read() == (prompt,)


def test_a_drawn_line_is_a_scribble(drawn):
    drawn.shapes.mode = "add_line"
    Mouse(drawn.shapes).drag([(5, 5), (20, 30), (40, 50)])
    ((start, end),) = (s.path for p in drawn.read() for s in p.scribbles)
    np.testing.assert_allclose([start, end], [(5, 5), (40, 50)], atol=1)


@pytest.mark.parametrize("mode", ["add_path", "add_polygon_lasso", "add_rectangle"])
def test_what_is_half_drawn_says_nothing(drawn, changes, mode):
    drawn.points.add([SLICE, 3, 3])
    before = drawn.read()
    del changes[:]
    drawn.shapes.mode = mode
    mouse = Mouse(drawn.shapes)
    mouse.press(CIRCLE[0])
    for at in CIRCLE[1:]:
        mouse.move([at])
        assert drawn.read() == before
        assert changes == []
    mouse.release(CIRCLE[-1])
    assert len(drawn.read()) == 2
    assert len(changes) == 1


def test_a_polygon_of_clicks_counts_when_it_is_closed(drawn, changes):
    drawn.shapes.mode = "add_polygon"
    mouse = Mouse(drawn.shapes)
    for at in ((10, 10), (10, 40), (40, 40), (40, 10)):
        mouse.move([at], dragging=False)
        mouse.press(at)
        mouse.release(at)
        assert drawn.read() == ()
    mouse.double_click((40, 10))
    (prompt,) = drawn.read()
    assert prompt.given(SHAPE[1:])[11:40, 11:40].all()
    assert changes == [(prompt,)]


@pytest.mark.parametrize("then", ["pan_zoom", "add_path", "add_rectangle", "select"])
def test_a_lasso_that_is_given_up_leaves_nothing(drawn, changes, then):
    drawn.shapes.mode = "add_polygon_lasso"
    mouse = Mouse(drawn.shapes)
    mouse.press(CIRCLE[0])
    mouse.move(CIRCLE[1:9])
    drawn.shapes.mode = then
    assert drawn.read() == ()
    assert len(drawn.shapes.data) == len(drawn.shapes.features) == 0
    drawn.shapes.mode = "add_path"
    Mouse(drawn.shapes).drag(CIRCLE)
    assert [len(p.scribbles) for p in drawn.read()] == [1]
    assert len(changes) == 1


@pytest.mark.parametrize("mode", ["add_path", "add_polygon_lasso"])
def test_a_bare_click_draws_nothing(drawn, changes, mode):
    drawn.shapes.mode = mode
    mouse = Mouse(drawn.shapes)
    for _ in range(2):  # the second ends what the first began
        mouse.press((30, 30))
        mouse.release((30, 30))
        assert drawn.read() == ()
    assert changes == []
    assert len(drawn.shapes.data) == len(drawn.shapes.features) == 0
    mouse.drag(CIRCLE)
    assert len(drawn.read()) == len(changes) == 1


@pytest.mark.parametrize("mode", ["add_path", "add_polygon_lasso", "add_rectangle"])
def test_drawing_anew_ends_what_is_half_drawn(drawn, changes, mode):
    drawn.shapes.mode = mode
    mouse = Mouse(drawn.shapes)
    mouse.press(CIRCLE[0])
    mouse.move(CIRCLE[1:6])
    drawn.draw(PROMPTS)
    assert drawn.read() == PROMPTS
    assert changes == []


@pytest.mark.parametrize("mode", ["add_path", "add_polygon_lasso", "add_rectangle"])
def test_a_shape_may_be_taken_back_while_it_is_reported(viewer, mode):
    layers = PromptLayers(viewer, viewer.layers["scan"], lambda: layers.draw(PROMPTS))
    layers.shapes.mode = mode
    Mouse(layers.shapes).drag(CIRCLE)
    assert layers.read() == PROMPTS


def test_choosing_an_object_meanwhile_does_not_stop_the_pen(drawn):
    drawn.shapes.mode = "add_path"
    mouse = Mouse(drawn.shapes)
    mouse.press(CIRCLE[0])
    mouse.move(CIRCLE[1:9])
    drawn.set_object(7)
    mouse.move(CIRCLE[9:])
    mouse.release(CIRCLE[-1])
    (prompt,) = drawn.read()
    assert prompt.object == 1
    assert len(prompt.scribbles[0].path) > 15


@pytest.mark.parametrize(
    ("kind", "vertices"),
    [
        ("path", [(2, 5, 5), (2, 5, 5)]),
        ("line", [(2, 5, 5), (2, 5, 5)]),
        ("polygon", [(2, 5, 5), (2, 9, 9), (2, 7, 7)]),
        ("rectangle", [(2, 5, 5), (2, 5, 9), (2, 5, 9), (2, 5, 5)]),
        ("path", [(2, 5, 5), (3, 9, 9)]),
        ("polygon", [(2, 5, 5), (2, 9, 9), (3, 9, 5)]),
        ("rectangle", [(2, 5, 5), (2, 5, 9), (4, 9, 9), (4, 9, 5)]),
    ],
)
def test_shapes_without_extent_or_across_slices_say_nothing(drawn, kind, vertices):
    drawn.shapes.add(np.array(vertices, float), shape_type=kind)
    assert len(drawn.shapes.data) == 1
    assert drawn.read() == ()


def test_a_line_that_leaves_the_image_ends_at_its_border(drawn):
    drawn.shapes.add_paths(np.array([(2, 30, 60), (2, 30, 95), (2, 70, 95)], float))
    (prompt,) = drawn.read()
    assert prompt.scribbles[0].path == ((30, 60), (30, 79.5), (59.5, 79.5))
    prompt.check_inside(SHAPE)


def test_a_line_beside_the_image_is_refused(drawn):
    drawn.shapes.add_paths(np.array([(2, 30, 90), (2, 30, 95)], float))
    (prompt,) = drawn.read()
    with pytest.raises(PromptError, match=r"scribble at .* lies outside"):
        prompt.check_inside(SHAPE)


def test_a_shape_is_gone_with_its_last_vertices(drawn, changes):
    triangle = Prompt(1, SLICE, polygon=((10, 10), (10, 40), (40, 40)))
    scribble = Prompt(2, SLICE, scribbles=(Scribble(((5, 5), (5, 60))),))
    drawn.draw((triangle, scribble))
    drawn.shapes.mode = "vertex_remove"
    drawn.shapes.selected_data = {0}
    Mouse(drawn.shapes).press((10, 40))
    assert drawn.read() == (scribble,)
    assert changes == [(scribble,)]


def test_a_box_with_one_more_vertex_is_an_outline(drawn, changes):
    drawn.draw((Prompt(1, SLICE, ((20, 20),), (1,), (10, 10, 40, 40)),))
    drawn.shapes.mode = "vertex_insert"
    drawn.shapes.selected_data = {0}
    Mouse(drawn.shapes).press((10, 25))
    clicked, outlined = drawn.read()
    assert clicked == Prompt(1, SLICE, ((20, 20),), (1,))
    assert len(outlined.polygon) == 5
    assert changes == [(clicked, outlined)]


def test_closed_layers_report_nothing_more(drawn, changes):
    drawn.close()
    drawn.shapes.mode = "add_path"
    Mouse(drawn.shapes).drag(CIRCLE)
    drawn.points.add([SLICE, 3, 3])
    assert changes == []


@pytest.mark.parametrize("mode", ["add_path", "add_polygon_lasso", "add_rectangle"])
def test_the_pen_may_be_lifted_after_all_was_drawn_anew(drawn, changes, mode):
    drawn.shapes.mode = mode
    mouse = Mouse(drawn.shapes)
    mouse.press(CIRCLE[0])
    mouse.move(CIRCLE[1:6])
    drawn.draw(PROMPTS)
    mouse.move(CIRCLE[6:])
    mouse.release(CIRCLE[-1])
    assert drawn.read() == PROMPTS
    assert changes == []
