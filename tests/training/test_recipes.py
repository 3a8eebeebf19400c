"""Every recipe, from its name to a model that answers a click."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import yaml

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.loading import load_model
from napari_octa_sam2.model.registry import model_names
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.training.plan import begin, make_plan
from napari_octa_sam2.training.recipe import Recipe, read_recipe, recipe_names
from napari_octa_sam2.training.run import Report, train

STEPS = 20
PROMPTLESS = {"octa-auto", "s3-octa", "sparse-annotation"}  # see test_promptless.py
NAMES = {
    *("quick", "dilab-topology", "neurosam2d", "octa-nano", "refinement"),
    *("sam-med2d", "sam-octa", "sam-octa2"),
    *PROMPTLESS,
}


@dataclass(frozen=True)
class Small:
    """How a recipe is made small.

    Rates of recipes for trained checkpoints are raised where random weights would
    hardly move in 20 steps; subjects or classes are one, and dropout and effects left
    out, where these would change the loss more than so few steps do.
    """

    data: str = "pairs"
    model: str | None = "stock"
    changes: tuple[str, ...] = ()


SMALL = {
    "quick": Small(model=None),
    "dilab-topology": Small(),
    "neurosam2d": Small(
        "sequences",
        changes=(
            *("clip.frames=3", "clip.objects=2", "fit.precision=fp32"),
            "trained.parts={adapters: 1e-3, prompt_encoder: 1e-3, mask_decoder: 1e-3}",
        ),
    ),
    "octa-nano": Small(model=None, changes=("clip.objects=2", "fit.clips=2")),
    "refinement": Small(changes=("fit.clips=2",)),
    "sam-med2d": Small(),
    "sam-octa": Small(
        "maps",
        changes=(
            *("data.folds=3", "data.subjects=1", "clip.labels=[RV]", "clip.whole=1"),
            "clip.effects={brightness: 0, contrast: 0}",
            "trained.parts.adapters=1e-2",
        ),
    ),
    "sam-octa2": Small(
        "sequences",
        changes=(
            *("clip.frames=2", "clip.least_frames=0", "clip.labels=[FAZ]"),
            "clip.effects={brightness: 0, contrast: 0, blur: 0}",
            *("trained.parts.adapters=3e-3", "trained.adapter.dropout=0"),
        ),
    ),
}
# Without the synthetic volumes, which take seconds each, and in small clips that do
# not turn, so that the losses of steps can be compared.
COMMON = (
    *("fit.minutes=0", "fit.epochs=0", f"fit.steps={STEPS}", "fit.workers=0"),
    *("fit.warmup=0", "fit.average=0", "clip.native=64", "clip.size=64"),
    *("clip.tilt=0", "data.mix={given: 1.0}"),
    *("data.mix.phantom volumes=0", "data.mix.phantom projections=0"),
)


def losses(reports: list[Report], phase: str) -> list[float]:
    return [r.step.loss for r in reports if r.status.phase == phase]


def shortened(recipe: Recipe) -> Recipe:
    """Return a recipe of whose phases the later ones take one step."""
    first, *others = recipe.phases
    few = [replace(p, fit=replace(p.fit, steps=1)) for p in others]
    return replace(recipe, phases=(first, *few))


def test_the_recipes_are_these() -> None:
    assert recipe_names()[0] == "quick"
    assert set(recipe_names()) == NAMES == set(SMALL) | PROMPTLESS


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_learns_and_its_model_answers_a_click(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    small = SMALL[name]
    data: Path = request.getfixturevalue(small.data)
    model = small.model and str(request.getfixturevalue(small.model))
    changes = [*COMMON, *small.changes]
    plan = make_plan(name, model=model, given=[data], overrides=changes)
    assert plan.ready
    assert all(phase.data.mix["given"] for phase in plan.recipe.phases)
    folder = begin(replace(plan, recipe=shortened(plan.recipe)), tmp_path / "run")
    reports = list(train(folder.path))
    first = losses(reports, plan.recipe.phases[0].name)
    assert len(first) == STEPS
    assert fmean(first[-5:]) < fmean(first[:5])
    assert len(reports) == STEPS + len(plan.recipe.phases) - 1
    weights = folder.weights()
    assert weights is not None
    loaded = load_model(weights)
    depth = 3  # as many as there are projections
    volume = np.random.default_rng(0).integers(0, 255, (depth, 48, 48), dtype=np.uint8)
    found = Session(volume, loaded, device="cpu").add(Prompt(1, 1, ((20, 20),), (1,)))
    assert found.logits[1].shape == (48, 48)
    assert np.isfinite(found.logits[1]).all()


# --- what a recipe's file says


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_whole_and_reads_as_it_was_written(
    name: str, tmp_path: Path
) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    kind = "promptless" if name in PROMPTLESS else "prompted"
    assert recipe.model in ("", *model_names(kind))
    file = tmp_path / "settings.yaml"
    file.write_text(recipe.to_yaml(), "utf-8")
    assert read_recipe(file) == recipe


def test_a_file_of_the_user_is_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "about": "Mine.",
                "trained": {"parts": {"mask_decoder": 1e-3}},
                "fit": {"steps": 5, "clips": 2},
                "phases": [
                    {"name": "first"},
                    {"name": "second", "fit": {"steps": 7}},
                ],
            }
        ),
        "utf-8",
    )
    recipe = read_recipe(file, given=[tmp_path])
    assert (recipe.name, recipe.model) == ("mine", "octa-nano")
    assert recipe.given == (str(tmp_path),)
    assert [p.fit.steps for p in recipe.phases] == [5, 7]
    assert [p.fit.clips for p in recipe.phases] == [2, 2]


def test_settings_of_every_kind_can_be_changed() -> None:
    recipe = read_recipe(
        "quick",
        overrides=[
            *("fit.minutes=2.5", "fit.steps=7", "fit.checkpointing=true"),
            *("clip.labels=[FAZ, RV]", "clip.zoom=[1, 1.5]", "data.colours=viridis"),
            *("trained.parts.adapters=null", "trained.parts.mask_decoder=1e-5"),
            *("trained.adapter.kind=none", "loss.grid=null", "name=faz"),
        ],
    )
    (phase,) = recipe.phases
    assert recipe.name == "faz"
    assert (phase.fit.minutes, phase.fit.steps) == (2.5, 7)
    assert phase.fit.checkpointing is True
    assert phase.clip.labels == ("FAZ", "RV")
    assert phase.clip.zoom == (1.0, 1.5)
    assert phase.data.colours == "viridis"
    assert phase.trained.parts == {"refinement": 1e-3, "mask_decoder": 1e-5}
    assert phase.trained.adapter.kind == "none"
    assert phase.loss.grid == {}


def test_changes_hold_for_every_phase() -> None:
    recipe = read_recipe("octa-nano", overrides=["fit.steps=3", "clip.objects=1"])
    assert {p.fit.steps for p in recipe.phases} == {3}
    assert {p.clip.objects for p in recipe.phases} == {1}
    assert [p.fit.seed for p in recipe.phases] == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fit.stepz=3", "fit.stepz"),
        ("colour=red", "colour"),
        ("trained.adapter.rang=3", "trained.adapter.rang"),
        ("fit.steps=many", "fit.steps"),
        ("fit.steps=2.5", "fit.steps"),
        ("clip.zoom=[1]", "clip.zoom"),
        ("fit.optimiser=sgd", "fit.optimiser"),
        ("prompts.kinds={lasso: 1}", "prompts.kinds"),
        ("fit=3", "fit"),
        ("fit.minutes=0", "give fit.steps, fit.epochs or fit.minutes"),
        ("clip.labels=[nerve]", "'nerve'"),
        ("averaged=[2-none]", "averages of these"),
        ("trained.parts.adapters=[", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(change: str, message: str) -> None:
    with pytest.raises(TrainingError) as caught:
        read_recipe("quick", overrides=[change])
    assert message in str(caught.value)


@pytest.mark.parametrize("content", ["[1, 2", "- 1\n- 2\n", "", "phases: 3", "7"])
def test_what_is_no_recipe_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(TrainingError, match="mine"):
        read_recipe(file)


def test_an_unknown_recipe_is_told_with_those_there_are(tmp_path: Path) -> None:
    for name in ("giga", tmp_path):
        with pytest.raises(TrainingError, match="expected a recipe of quick, dilab"):
            read_recipe(name)


def test_phases_need_names_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "phases: [{}, {}]\nfit: {steps: 1}\ntrained: {parts: {neck: 1}}\nabout: Mine.\n"
    )
    with pytest.raises(TrainingError, match="phases of different names"):
        read_recipe(file)


def test_the_model_can_be_chosen_where_there_is_one(
    stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_recipe("quick", model="sam2.1_hiera_tiny").model == "sam2.1_hiera_tiny"
    # a checkpoint is found from wherever the training goes on
    monkeypatch.chdir(stock.parent)
    assert read_recipe("quick", model=stock.name).model == str(stock)
    with pytest.raises(TrainingError, match="begins from random weights"):
        read_recipe("octa-nano", model="octa-nano")
