"""Subjects held out, and the problems that are found in a split."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError, TrainingError
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.problems import describe, find_problems, hashes
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.training.data.splits import Split, hold_out

SHAPE = (2, 8, 9)


def scene(**changes: object) -> Scene:
    mask = np.zeros(SHAPE, bool)
    mask[:, 2:4, 2:5] = True
    whole = Scene(np.full(SHAPE, 0.5, np.float32), mask.astype(np.uint8), {"RV": mask})
    return replace(whole, **changes)


def sample(name: str, subject: str = "", *files: Path, **changes: object) -> Sample:
    return Sample(name, subject or name, files, lambda: scene(**changes))


def samples(*names: object) -> list[Sample]:
    return [sample(str(name)) for name in names]


def names(part: tuple[Sample, ...]) -> list[str]:
    return [s.name for s in part]


def test_official_ids_of_octa500() -> None:
    given = samples(10180, 10181, 10200, 10201, 10300, 10440, 10441, 10450, 10451)
    split = hold_out(given, DataConfig())
    assert names(split.training) == ["10180", "10440"]
    assert names(split.validation) == ["10181", "10200", "10441", "10450"]
    assert names(split.left_out) == ["10201", "10300", "10451"]


def test_official_parts_by_name() -> None:
    given = samples("train_sam/1", "val/2", "validation/3", "training/4", "test/5", "6")
    split = hold_out(given, DataConfig())
    assert names(split.training) == ["train_sam/1", "training/4", "6"]
    assert names(split.validation) == ["val/2", "validation/3"]
    assert names(split.left_out) == ["test/5"]


def test_a_word_is_no_part() -> None:
    split = hold_out(samples("valley", "trainer", "a", "b"), DataConfig(fraction=0.25))
    assert len(split.training) == 3
    assert len(split.validation) == 1


def test_a_subject_with_a_test_sample_is_a_test_subject() -> None:
    given = [sample("train/a", "s"), sample("test/a", "s"), sample("train/b", "t")]
    split = hold_out(given, DataConfig())
    assert names(split.training) == ["train/b"]
    assert names(split.left_out) == ["train/a", "test/a"]


def test_official_falls_back_to_a_fraction() -> None:
    split = hold_out(samples(*range(10301, 10311)), DataConfig(fraction=0.3))
    assert len(split.training) == 7
    assert len(split.validation) == 3


@pytest.mark.parametrize("seed", range(3))
def test_a_fraction_keeps_subjects_whole(seed: int) -> None:
    given = [sample(f"{s} {z}", str(s)) for s in range(10) for z in range(3)]
    config = DataConfig(holdout="fraction", fraction=0.2, seed=seed)
    split = hold_out(given, config)
    assert len(split.validation) == 6
    subjects = [
        {s.subject for s in part} for part in (split.training, split.validation)
    ]
    assert len(subjects[1]) == 2
    assert not subjects[0] & subjects[1]
    assert (
        names(hold_out(given[::-1], config).validation) == names(split.validation)[::-1]
    )


def test_seeds_choose_others() -> None:
    given = samples(*range(40))
    held = {
        tuple(names(hold_out(given, DataConfig(holdout="fraction", seed=n)).validation))
        for n in range(4)
    }
    assert len(held) == 4


def test_one_subject_is_learned_from() -> None:
    split = hold_out(samples("a"), DataConfig(holdout="fraction"))
    assert names(split.training) == ["a"]
    assert not split.validation


def test_folds_hold_each_subject_out_once() -> None:
    given = samples(*range(11))
    held = [
        name
        for fold in range(4)
        for name in names(
            hold_out(given, DataConfig(holdout="folds", folds=4, fold=fold)).validation
        )
    ]
    assert sorted(held) == sorted(s.name for s in given)


def test_none_holds_nobody_out() -> None:
    split = hold_out(samples(10441, 10451), DataConfig(holdout="none"))
    assert names(split.training) == ["10441", "10451"]
    assert not split.validation


def test_subjects_limit_what_is_learned_from() -> None:
    given = [sample(f"{s} {z}", str(s)) for s in range(10301, 10321) for z in range(2)]
    given += samples(10441)
    config = DataConfig(subjects=3)
    split = hold_out(given, config)
    assert len({s.subject for s in split.training}) == 3
    assert len(split.training) == 6
    assert names(split.validation) == ["10441"]
    assert len(split.left_out) == 34
    other = hold_out(given, replace(config, seed=1))
    assert names(other.training) != names(split.training)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig(fraction=0), "fraction between 0 and 1"),
        (DataConfig(fraction=1), "fraction between 0 and 1"),
        (DataConfig(folds=1), "fold 0 of 1"),
        (DataConfig(folds=3, fold=3), "fold 3 of 3"),
        (DataConfig(holdout="folds", folds=5), "at least 5 subjects"),
        (DataConfig(), "2 of official test splits"),
    ],
)
def test_settings_that_cannot_be(config: DataConfig, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        hold_out(samples(10451, 10300), config)


def test_nothing_is_wrong() -> None:
    seen = []
    split = Split((sample("a"), sample("b")), (sample("c"),))
    assert find_problems(split, lambda *args: seen.append(args)) == []
    assert seen == [(1, 3), (2, 3), (3, 3)]


def found(split: Split) -> list[tuple[str, bool]]:
    return [(p.text, p.fatal) for p in find_problems(split)]


def test_one_subject_alone_is_a_warning() -> None:
    ((text, fatal),) = found(Split((sample("a"), sample("a 2", "a")), ()))
    assert "1 subject to learn from" in text
    assert not fatal


def test_a_subject_in_both_parts() -> None:
    ((text, fatal),) = found(Split((sample("1", "eye"),), (sample("2", "eye"),)))
    assert "found eye in training" in text
    assert fatal


def test_an_image_in_both_parts(tmp_path: Path) -> None:
    one, copy, mask = (tmp_path / name for name in ("1.png", "copy.png", "mask.png"))
    for path, text in ((one, "pixels"), (copy, "pixels"), (mask, "zeros")):
        path.write_text(text)
    split = Split((sample("a", "a", one, mask),), (sample("b", "b", copy, mask),))
    ((text, fatal),) = found(split)
    assert str(one) in text
    assert fatal
    assert find_problems(split)[0].file == str(copy)


def test_the_same_mask_in_both_parts_is_none(tmp_path: Path) -> None:
    one, two, mask = (tmp_path / name for name in ("1.png", "2.png", "mask.png"))
    for path in (one, two, mask):
        path.write_text(path.name)
    assert not found(
        Split((sample("a", "a", one, mask),), (sample("b", "b", two, mask),))
    )


@pytest.mark.parametrize(
    ("changes", "message", "is_fatal"),
    [
        ({"labelled": np.zeros(2, bool)}, "image with labels", True),
        ({"instances": np.zeros((2, 8, 8), np.uint8)}, "expected objects", True),
        ({"classes": {"FAZ": np.zeros((1, 8, 9), bool)}}, "expected FAZ", True),
        ({"labelled": np.ones(3, bool)}, "flags", True),
        ({"images": np.full(SHAPE, np.nan, np.float32)}, "NaN", True),
        ({"instances": np.zeros(SHAPE, np.uint8), "classes": {}}, "empty", False),
    ],
)
def test_problems_of_a_sample(
    changes: dict[str, object], message: str, is_fatal: bool
) -> None:
    ((text, fatal),) = found(Split((sample("a"),), (sample("b", **changes),)))
    assert message in text
    assert fatal is is_fatal


def test_an_unreadable_file(tmp_path: Path) -> None:
    def read() -> Scene:
        raise ReadError("broken.png: expected a complete image")

    broken = Sample("x", "x", (tmp_path / "broken.png",), read)
    (problem,) = find_problems(Split((sample("a"),), (broken,)))
    assert problem.file == str(tmp_path / "broken.png")
    assert problem.fatal


def test_description_counts() -> None:
    sparse = {"labelled": np.array([True, False])}
    split = Split((sample("a 1", "a"), sample("a 2", "a", **sparse)), (sample("b"),))
    assert describe(split) == {
        "training": {
            "subjects": 1,
            "samples": 2,
            "slices": 3,
            "objects": 2,
            "classes": {"RV": 24},
        },
        "validation": {
            "subjects": 1,
            "samples": 1,
            "slices": 2,
            "objects": 1,
            "classes": {"RV": 12},
        },
    }


def test_hashes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"pixels")
    (record,) = hashes([sample("a", "eye", file)])
    digest = hashlib.sha256(b"pixels").hexdigest()
    assert record == {
        "name": "a",
        "subject": "eye",
        "files": [{"file": str(file), "sha256": digest}],
    }
    with pytest.raises(ReadError, match="still there"):
        hashes([sample("a", "eye", tmp_path / "gone.png")])
