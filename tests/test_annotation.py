"""Annotation logic on a viewer model, without Qt."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_octa_sam2.annotation import Annotation
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.segment import Confidence
from napari_octa_sam2.errors import PromptError, VolumeError
from napari_octa_sam2.layers import layer_geometry, volume_layers
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume import LabelSet, OctaVolume, ScanGeometry

SHAPE = (6, 30, 40)
GEOMETRY = ScanGeometry((0.003125, 0.01, 0.02), "mm")


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    volume = OctaVolume(np.zeros(SHAPE, np.uint8), GEOMETRY, "scan")
    ((data, arguments, _),) = volume_layers(volume)
    viewer.add_image(data, **arguments)
    return viewer


@pytest.fixture
def annotation(viewer):
    return Annotation(viewer, viewer.layers["scan"])


def result(index, logits):
    arrays = {o: np.full(SHAPE[1:], v, np.float32) for o, v in logits.items()}
    return SliceResult(index, arrays, tuple(logits), {})


def test_layers_share_the_grid_of_the_image(annotation):
    for layer in annotation.scene.layers:
        np.testing.assert_allclose(layer.scale, GEOMETRY.spacing)
        assert [str(u) for u in layer.units] == ["millimeter"] * 3
        assert layer.axis_labels == ("depth", "slow", "fast")
        assert layer_geometry(layer) == GEOMETRY
    assert annotation.labels.data.dtype == np.uint8
    for number in (1, 2, 9):  # as the table and the strip show them
        shown = annotation.labels.colormap.map(number)
        np.testing.assert_allclose(shown, annotation.scene.colour(number))


def test_points_and_boxes_become_prompts_of_the_current_object(annotation):
    annotation.points.add([2, 10, 12])
    annotation.drawn.set_polarity(False)
    annotation.points.add([2, 3, 4])
    second = annotation.add_object()
    annotation.drawn.shapes.add_rectangles(
        np.array([[4, 5, 6], [4, 5, 20], [4, 15, 20], [4, 15, 6]], float)
    )
    assert annotation.prompts() == PromptSet(
        (PromptObject(1), PromptObject(second.id)),
        (
            Prompt(1, 2, ((10, 12),), (1,)),
            Prompt(1, 2, ((3, 4),), (0,)),
            Prompt(2, 4, box=(5, 6, 15, 20)),
        ),
    )


def test_edits_are_only_what_changed(annotation):
    annotation.points.add([2, 10, 12])
    annotation.points.add([4, 10, 12])
    assert [(e.object, e.slice) for e in annotation.engine.take_edits()] == [
        (1, 2),
        (1, 4),
    ]
    assert annotation.engine.take_edits() == []
    annotation.points.add([4, 20, 20])
    (edit,) = annotation.engine.take_edits()
    assert (edit.slice, len(edit.prompts)) == (4, 2)
    annotation.points.selected_data = {0}
    annotation.points.remove_selected()
    (edit,) = annotation.engine.take_edits()
    assert (edit.slice, edit.prompts) == (2, ())


def test_undo_walks_back_through_points_boxes_and_objects(annotation):
    states = [annotation.prompts()]
    annotation.points.add([2, 10, 12])
    states.append(annotation.prompts())
    annotation.drawn.shapes.add_rectangles(
        np.array([[4, 5, 6], [4, 5, 20], [4, 15, 20], [4, 15, 6]], float)
    )
    states.append(annotation.prompts())
    annotation.remove_object(1)
    assert annotation.prompts().prompts == ()
    for expected in reversed(states):
        assert annotation.undo()
        assert annotation.prompts().prompts == expected.prompts
    assert not annotation.undo()


def test_undoing_a_click_keeps_the_new_object_and_its_name(annotation):
    annotation.points.add([2, 10, 12])
    second = annotation.add_object().id
    annotation.change_object(second, name="vein", cls="vein")
    annotation.points.add([2, 20, 20])
    assert annotation.undo()
    assert annotation.objects[second] == PromptObject(second, "vein", "vein")
    assert annotation.current == second
    assert annotation.points.data.tolist() == [[2, 10, 12]]


def test_prompts_that_layers_cannot_draw_are_kept(annotation, tmp_path):
    mask = np.zeros(SHAPE[1:], bool)
    mask[3:9, 3:9] = True
    prompts = PromptSet(
        (PromptObject(7, "vein", "vein"),),
        (
            Prompt(7, 1, ((4.5, 4.25), (20, 20)), (1, 0), (2.0, 2.0, 25.0, 30.0)),
            Prompt(7, 3, mask=mask),
            Prompt(7, 5, absent=True),
            Prompt(7, 1, whole="vein"),
            Prompt(7, 1, ((9, 9),), (0,), (2.0, 2.0, 25.0, 30.0), whole="RV"),
        ),
    )
    prompts.write(tmp_path / "p.json")
    annotation.load_prompts(tmp_path / "p.json")
    assert annotation.prompts() == prompts
    assert annotation.current == 7
    assert annotation.points.data.tolist() == [[1, 4.5, 4.25], [1, 20, 20], [1, 9, 9]]


def test_a_class_is_asked_for_corrected_and_taken_back(viewer, annotation):
    faz = annotation.add_object().id
    annotation.change_object(faz, name="FAZ", cls="FAZ")
    viewer.dims.set_current_step(0, 3)
    assert annotation.ask_for_class() == "FAZ"
    annotation.drawn.set_polarity(False)
    annotation.points.add([3, 10, 12])
    given = (Prompt(faz, 3, whole="FAZ"), Prompt(faz, 3, ((10, 12),), (0,)))
    assert annotation.prompts().prompts == given
    (edit,) = annotation.engine.take_edits()
    assert (edit.object, edit.slice, edit.prompts) == (faz, 3, given)
    assert annotation.undo()
    assert annotation.prompts().prompts == given[:1]
    assert annotation.undo()
    assert annotation.prompts().prompts == ()
    assert [e.prompts for e in annotation.engine.take_edits()] == [()]


def test_a_class_that_nothing_is_known_of_cannot_be_asked_for(annotation):
    with pytest.raises(PromptError, match="found 'other'"):
        annotation.ask_for_class()
    assert annotation.prompts().prompts == ()
    assert not annotation.undo()


def test_a_new_object_knows_nothing_of_a_removed_one_with_its_id(annotation):
    second = annotation.add_object().id
    annotation.engine.review.note({second: 0.9}, 3)
    annotation.remove_object(second)
    assert annotation.add_object().id == second
    assert annotation.engine.review.mean(second) is None


def test_removed_layers_are_put_back(viewer, annotation):
    assert annotation.scene.put_layers_back() == []
    viewer.layers.remove(annotation.points)
    assert annotation.scene.put_layers_back() == [annotation.points]
    assert annotation.points in viewer.layers


@pytest.mark.parametrize("text", ["", "{", '{"version": 1, "prompts": [{}]}'])
def test_a_bad_prompt_file_changes_nothing(annotation, tmp_path, text):
    annotation.points.add([2, 10, 12])
    before = annotation.prompts()
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PromptError):
        annotation.load_prompts(tmp_path / "p.json")
    assert annotation.prompts() == before


def test_a_prompt_file_of_another_volume_changes_nothing(annotation, tmp_path):
    PromptSet(prompts=(Prompt(1, 99, ((1.0, 1.0),), (1,)),)).write(tmp_path / "p.json")
    with pytest.raises(PromptError, match="expected a slice from 0 to 5"):
        annotation.load_prompts(tmp_path / "p.json")
    assert annotation.prompts().prompts == ()


def test_a_point_outside_is_taken_back_and_the_rest_stays(viewer):
    said = []
    annotation = Annotation(viewer, viewer.layers["scan"], warn=said.append)
    annotation.points.add([2, 10, 12])
    annotation.points.add([2, 10, 500])
    assert "outside the image" in said[-1]
    assert annotation.points.data.tolist() == [[2, 10, 12]]
    assert [e.slice for e in annotation.engine.take_edits()] == [2]


def found(*places):
    """Labels of 1 on rows 2 to 9 and of 2 on rows 10 to 19 of these slices."""
    labels = np.zeros(SHAPE, np.uint8)
    for index, label in places:
        labels[index, 2 if label == 1 else 10 : 10 * label, 5:30] = label
    return labels


NAMES, CLASS_NAMES = {1: "RV 1", 2: "object 2"}, {1: "RV", 2: "FAZ"}


def test_what_was_found_becomes_objects_in_one_step(annotation):
    labels = found((1, 1), (2, 1), (2, 2))
    sure = [Confidence(1, 1, 0.9), Confidence(2, 1, 0.4), Confidence(3, 1, 0.7)]
    assert annotation.adopt_found(labels, NAMES, CLASS_NAMES, sure) == 2
    np.testing.assert_array_equal(annotation.labels.data, labels)
    assert annotation.prompts().objects == (
        PromptObject(1, "RV 1", "RV"),
        PromptObject(2, "object 2", "FAZ"),
    )
    given = {(p.object, p.slice): p for p in annotation.prompts().prompts}
    assert sorted(given) == [(1, 1), (1, 2), (1, 3), (2, 2)]
    np.testing.assert_array_equal(given[1, 2].mask, labels[2] == 1)
    assert given[1, 3].absent
    assert [given[1, i].confidence for i in (1, 2, 3)] == [0.9, 0.4, 0.7]
    assert given[2, 2].confidence == 1.0
    # known at once, and told to the engine, whose masks are these
    review = annotation.engine.review
    np.testing.assert_equal(review.row(1, 5), [np.nan, 0.9, 0.4, 0.7, np.nan])
    assert annotation.doubtful(0.5) == [(1, 2)]
    edits = annotation.engine.take_edits()
    assert {(e.object, e.slice) for e in edits} == set(given)
    assert not any(e.shown for e in edits)

    assert annotation.undo()
    assert annotation.prompts() == PromptSet((PromptObject(1),))
    assert not annotation.labels.data.any()
    assert annotation.doubtful(1.0) == []
    assert annotation.redo()
    np.testing.assert_array_equal(annotation.labels.data, labels)
    assert annotation.doubtful(0.5) == [(1, 2)]


def test_what_is_there_stays_beside_what_was_found(annotation):
    drawn = np.zeros(SHAPE[1:], bool)
    drawn[4:6, 7:9] = True
    annotation.set_prompts(PromptSet((PromptObject(1),), (Prompt(1, 2, mask=drawn),)))
    with annotation._changing():
        annotation.document.write(2, drawn.astype(np.uint8))
    annotation.engine.take_edits()
    annotation.change_object(1, locked=True)
    labels = found((1, 1), (2, 1))
    assert annotation.adopt_found(labels, NAMES, CLASS_NAMES) == 1
    assert list(annotation.objects) == [1, 2]
    assert annotation.current == 2
    np.testing.assert_array_equal(annotation.labels.data[2] == 1, drawn)
    beside = (labels[2] == 1) & ~drawn
    np.testing.assert_array_equal(annotation.labels.data[2] == 2, beside)
    np.testing.assert_array_equal(annotation.prompts().prompts[-1].mask, beside)

    annotation.undo()
    annotation.adopt_found(labels, NAMES, CLASS_NAMES, only_blank=True)
    np.testing.assert_array_equal(annotation.labels.data[2], drawn)
    assert (annotation.labels.data[1] == 2).sum() == (labels[1] == 1).sum()
    annotation.adopt_found(labels, NAMES, CLASS_NAMES)
    np.testing.assert_array_equal(annotation.labels.data[2] == 3, beside)
    before = annotation.prompts()
    with pytest.raises(PromptError, match="expected something found that no object"):
        annotation.adopt_found(labels, NAMES, CLASS_NAMES)
    with pytest.raises(PromptError, match="expected labels of shape"):
        annotation.adopt_found(labels[:2], NAMES, CLASS_NAMES)
    assert annotation.prompts() == before


def test_painting_makes_what_was_found_sure(annotation, viewer):
    annotation.adopt_found(found((2, 1)), NAMES, CLASS_NAMES, [Confidence(2, 1, 0.3)])
    viewer.dims.set_current_step(0, 2)
    annotation.scene.painted(2)[20:25, 5:9] = 1
    annotation._painted()
    assert annotation.doubtful(0.99) == []
    (edit, *_) = annotation.engine.take_edits()
    annotation.undo()
    assert annotation.doubtful(0.99) == [(1, 2)]
    assert [p.confidence for p in edit.prompts] == [1.0]


def test_prompts_of_another_set_become_new_objects(annotation):
    annotation.points.add([2, 10, 12])
    given = PromptSet(
        (PromptObject(1, "FAZ", "FAZ"), PromptObject(4)),
        (Prompt(1, 3, ((5.0, 6.0),), (1,)), Prompt(4, 3, box=(1, 2, 3, 4))),
    )
    assert annotation.adopt_prompts(given) == 2
    assert list(annotation.objects) == [1, 2, 3]
    assert annotation.objects[2] == PromptObject(2, "FAZ", "FAZ")
    assert annotation.objects[3].name == "object 3"
    assert annotation.current == 2
    assert all(edit.shown for edit in annotation.engine.take_edits())


def test_results_fill_labels_and_make_room_for_large_ids(annotation):
    annotation.engine.visited(result(3, {1: 1.0}))
    assert (annotation.labels.data[3] == 1).all()
    assert not annotation.labels.data[2].any()
    annotation.engine.visited(result(3, {300: 2.0, 1: 1.0}))
    assert annotation.labels.data.dtype == np.uint16
    assert (annotation.labels.data[3] == 300).all()


def test_points_of_a_layer_elsewhere_are_moved_into_the_image(viewer, annotation):
    foreign = viewer.add_points(
        [[0.00625, 0.1, 0.4]], units=("mm",) * 3, features={"label": ["negative"]}
    )
    assert annotation.adopt_points(foreign) == 1
    (prompt,) = annotation.prompts().prompts
    assert (prompt.slice, prompt.labels) == (2, (0,))
    np.testing.assert_allclose(prompt.points, [(10, 20)])


def test_a_single_image_is_a_volume_of_one_slice():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40)))
    annotation = Annotation(viewer, image)
    annotation.points.add([10, 12])
    assert annotation.prompts().prompts == (Prompt(1, 0, ((10, 12),), (1,)),)
    annotation.engine.visited(result(0, {1: 1.0}))
    assert annotation.labels.data.shape == (30, 40)
    assert annotation.labels.data.all()
    assert annotation.shown_slice == 0


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (np.zeros((9, 9, 3), np.uint8), {"rgb": True}, "found RGB"),
        (np.zeros((2, 2, 9, 9), np.uint8), {}, "found 4 axes"),
        (
            [np.zeros((4, 16, 16)), np.zeros((4, 8, 8))],
            {"multiscale": True},
            "multiscale",
        ),
        (np.full((4, 9, 9), np.nan), {"contrast_limits": (0, 1)}, "no finite value"),
    ],
)
def test_images_that_cannot_be_segmented(data, arguments, message):
    viewer = ViewerModel()
    image = viewer.add_image(data, **arguments)
    with pytest.raises(VolumeError, match=message):
        Annotation(viewer, image)
    assert list(viewer.layers) == [image]


def test_labels_of_a_volume_become_hidden_layers_with_names():
    labels = LabelSet(np.ones(SHAPE, np.uint8), {1: "vein 1"}, {1: "vein"})
    volume = OctaVolume(np.zeros(SHAPE), GEOMETRY, "scan", labels={"RV": labels})
    layer = volume_layers(volume)[1]
    assert layer[2] == "labels"
    assert layer[1]["name"] == "scan RV"
    assert layer[1]["visible"] is False
    assert layer[1]["metadata"]["names"] == {1: "vein 1"}


def test_unknown_spacing_stays_unknown():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE))
    assert layer_geometry(image) == ScanGeometry()
